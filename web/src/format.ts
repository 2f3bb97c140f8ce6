// Numbers and times for people.
import type { Anomaly } from "./api";

const group = new Intl.NumberFormat("en-US");

export const count = (value: number): string => group.format(value);

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at === 0 ? value : value.toFixed(1)} ${units[at] ?? ""}`;
}

// "12 s ago"; "never" for 0.
export function ago(at_us: number, now_ms: number): string {
  if (at_us === 0) return "never";
  const seconds = Math.max(0, Math.round(now_ms / 1000 - at_us / 1e6));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} days ago`;
}

export type Health = "healthy" | "late" | "dark" | "not joined";

const lateAfterSeconds = 120;
const darkAfterSeconds = 3600;

export function health(lastContact_us: number, now_ms: number): Health {
  if (lastContact_us === 0) return "not joined";
  const seconds = now_ms / 1000 - lastContact_us / 1e6;
  if (seconds > darkAfterSeconds) return "dark";
  return seconds > lateAfterSeconds ? "late" : "healthy";
}

// "torque_nm" -> "torque nm"
export const words = (name: string): string => name.replaceAll("_", " ");

const plain = (time: string) => time.replace("T", " ").replace("Z", "");

// When an anomaly was, as far as that is known, in few words; `why` says the rest of a time that is not what the site wrote by a clock it could trust.
export function whenText(anomaly: Pick<Anomaly, "event_time" | "clock_correction">): { time: string; mark: string; why: string } {
  const correction = anomaly.clock_correction;
  const seconds = (time: string) => plain(time).slice(0, 19);
  if (correction?.how === "bounds") {
    const { written, not_before, not_after } = correction;
    const why = `between ${plain(not_before)} and ${plain(not_after)}; the site wrote ${plain(written)}, by a clock that it did not trust`;
    const at = Date.parse(written);
    if (Date.parse(not_before) <= at && at <= Date.parse(not_after)) return { time: seconds(written), mark: "not certain", why };
    return { time: `before ${seconds(not_after)}`, mark: "clock was wrong", why };
  }
  const time = anomaly.event_time ? seconds(anomaly.event_time) : "–";
  return correction ? { time, mark: "corrected", why: `the site wrote ${plain(correction.written)}` } : { time, mark: "", why: "" };
}
