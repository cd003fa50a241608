import { defineConfig } from "vite";

// Pages are served at /watch/ROOM and the like, their assets at /web/assets/NAME-HASH, the SDK at /web/sdk.js.
export default defineConfig({
  base: "/web/",
  build: {
    outDir: "../streamer/web/dist",
    emptyOutDir: true,
    target: "es2022",
    // Everything is a file: the pages' policy allows neither inline scripts nor data addresses for them.
    assetsInlineLimit: 0,
    // Pages name what they need in their head; scripts do not preload, because they may run on another origin's page.
    modulePreload: {
      polyfill: false,
      resolveDependencies: (_file, dependencies, { hostType }) => (hostType === "html" ? dependencies : []),
    },
    // mpegts.js alone is larger than the default warning.
    chunkSizeWarningLimit: 600,
    rollupOptions: {
      input: {
        console: "console.html",
        studio: "studio.html",
        watch: "watch.html",
        sdk: "sdk/index.ts",
        example: "sdk/example.html",
      },
      // What the SDK exports is for others, so it must survive, under its own names and at an address that stays.
      preserveEntrySignatures: "strict",
      output: { entryFileNames: ({ name }) => (name === "sdk" ? "sdk.js" : "assets/[name]-[hash].js") },
    },
  },
});
