// On your own site: import { connect } from "https://live.example/web/sdk.js";
import { connect } from "./index";

const $ = (id: string) => document.getElementById(id) as HTMLElement;
const room = new URLSearchParams(location.search).get("room") ?? "demo";
const session = connect(room, { video: $("video") as HTMLVideoElement, token: location.hash.slice(1) || null });

session.on("state", ({ media }) => ($("state").textContent = `${media.phase} ${media.code ?? ""} by ${media.transport}`));
session.on("shelf", ({ explained, products }) => {
  $("card").hidden = explained === null;
  $("title").textContent = products.get(explained ?? "")?.title ?? "";
});
session.onEvent("danmaku", ({ body }) => $("said").append(Object.assign(document.createElement("li"), { textContent: body.text })));
$("talk").addEventListener("submit", (event) => {
  event.preventDefault();
  session.danmaku(String(new FormData(event.target as HTMLFormElement).get("text"))).catch((no) => ($("answer").textContent = no.message));
});
$("buy").addEventListener("click", async () => {
  const bought = await session.buy(session.shelf.explained ?? "");
  $("answer").textContent = bought.ok ? `Yours: ${bought.order.order}` : bought.refusal.text;
});
Object.assign(window, { session });
