import { afterEach, expect, test, vi } from "vitest";
import { Api, ApiError, takeToken } from "./api";

afterEach(() => vi.unstubAllGlobals());

function memory(): Storage {
  const items = new Map<string, string>();
  return {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
  } as Storage;
}

test("the token of the printed link is kept for the tab", () => {
  const storage = memory();
  expect(takeToken({ hash: "" } as Location, storage)).toBeNull();
  expect(takeToken({ hash: "#token=abc" } as Location, storage)).toBe("abc");
  expect(takeToken({ hash: "#fleet" } as Location, storage)).toBe("abc");
});

test("a refused request says what the hub said", async () => {
  vi.stubGlobal("fetch", async () => new Response('{"error":"unknown token"}', { status: 401 }));
  await expect(new Api("x").sites()).rejects.toThrowError(new ApiError(401, "unknown token"));
  vi.stubGlobal("fetch", async () => new Response("<html>portal</html>", { status: 502, statusText: "Bad Gateway" }));
  await expect(new Api("x").sites()).rejects.toThrowError("502 Bad Gateway");
});
