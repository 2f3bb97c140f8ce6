import { defineConfig } from "vite";

// One small bundle, everything from the own origin (the server's policy allows nothing else).
export default defineConfig({
  base: "/",
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
});
