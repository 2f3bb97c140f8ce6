import { expect, test } from "vitest";
import { ago, bytes, count, health } from "./format";

const now = 1_700_000_000_000;
const secondsAgo = (seconds: number) => (now / 1000 - seconds) * 1e6;

test("numbers are grouped and sizes have their unit", () => {
  expect(count(1234567)).toBe("1,234,567");
  expect(bytes(512)).toBe("512 B");
  expect(bytes(1536)).toBe("1.5 KiB");
  expect(bytes(5 * 1024 ** 3)).toBe("5.0 GiB");
});

test("times are said as people do", () => {
  expect(ago(0, now)).toBe("never");
  expect(ago(secondsAgo(12), now)).toBe("12 s ago");
  expect(ago(secondsAgo(600), now)).toBe("10 min ago");
  expect(ago(secondsAgo(3 * 86_400), now)).toBe("3 days ago");
});

test("a site is late after two minutes, dark after an hour, not joined without any contact", () => {
  expect(health(secondsAgo(5), now)).toBe("healthy");
  expect(health(secondsAgo(121), now)).toBe("late");
  expect(health(secondsAgo(3601), now)).toBe("dark");
  expect(health(0, now)).toBe("not joined");
});
