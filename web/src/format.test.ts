import { expect, test } from "vitest";
import { ago, bytes, count, health, whenText } from "./format";

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

test("a time that was corrected or bounded says so", () => {
  expect(whenText({}).time).toBe("–");
  expect(whenText({ event_time: "2026-01-31T08:15:00.25Z" })).toEqual({ time: "2026-01-31 08:15:00", mark: "", why: "" });
  const correction = { written: "1970-01-01T00:00:09Z", not_before: "2026-01-31T08:00:00Z", not_after: "2026-01-31T09:00:00Z" };
  expect(whenText({ event_time: "2026-01-31T08:15:00Z", clock_correction: { how: "anchor", ...correction } })).toEqual({
    time: "2026-01-31 08:15:00",
    mark: "corrected",
    why: "the site wrote 1970-01-01 00:00:09",
  });
  const bounds = { event_time: null, clock_correction: { how: "bounds" as const, ...correction } };
  expect(whenText(bounds)).toEqual({
    time: "before 2026-01-31 09:00:00",
    mark: "clock was wrong",
    why: "between 2026-01-31 08:00:00 and 2026-01-31 09:00:00; the site wrote 1970-01-01 00:00:09, by a clock that it did not trust",
  });
  bounds.clock_correction.written = "2026-01-31T08:30:00Z";
  expect(whenText(bounds)).toMatchObject({ time: "2026-01-31 08:30:00", mark: "not certain" });
});
