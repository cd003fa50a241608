import { defineConfig } from "vite";

// Pages are served at /watch/ROOM and the like, their assets at /web/assets/NAME-HASH.
export default defineConfig({
  base: "/web/",
  build: {
    outDir: "../streamer/web/dist",
    emptyOutDir: true,
    target: "es2022",
    // Everything is a file: the pages' policy allows neither inline scripts nor data addresses for them.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // mpegts.js alone is larger than the default warning.
    chunkSizeWarningLimit: 600,
    rollupOptions: { input: { console: "console.html", studio: "studio.html", watch: "watch.html" } },
  },
});
