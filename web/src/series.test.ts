import { expect, test } from "vitest";
import { align } from "./series";

test("series share one sorted time axis and gaps are filled as asked", () => {
  const aligned = align(
    [
      { series: "south", at_s: 20, value: 2 },
      { series: "north", at_s: 10, value: 1 },
      { series: "north", at_s: 30, value: 3 },
    ],
    0,
  );
  expect(aligned.names).toEqual(["north", "south"]);
  expect(aligned.data).toEqual([
    [10, 20, 30],
    [1, 0, 3],
    [0, 2, 0],
  ]);
  expect(align([{ series: "a", at_s: 1, value: 1 }, { series: "b", at_s: 2, value: 1 }], null).data[1]).toEqual([
    1,
    null,
  ]);
});

test("points of one series at one time add up", () => {
  const point = { series: "north", at_s: 10, value: 2 };
  expect(align([point, point], 0).data[1]).toEqual([4]);
});
