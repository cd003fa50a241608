// The watch page: joins the SDK's session with what is seen.

import { count } from "../i18n/format";
import { chooseLanguage, Words } from "../i18n/words";
import { connect } from "../sdk";
import type { Session } from "../sdk/types";
import { Announcements } from "./announcements";
import { Card } from "./card";
import { Chat } from "./chat";
import { Controls } from "./controls";
import { DanmakuLayer } from "./danmaku/layer";
import { byId, face, fillWords, setText } from "./dom";
import { Hearts } from "./hearts";
import { Identity } from "./identity";
import { Layout } from "./layout";
import { Likes } from "./likes";
import { OrderSheet } from "./order_sheet";
import { Orders } from "./orders";
import { Chosen, type Preferences } from "./preferences";
import { Settings } from "./settings";
import { Sheet } from "./sheet";
import { ShelfView } from "./shelf";
import { keepLastPicture } from "./still";
import { roomOf, transportOf } from "./page_address";
import { TroubleView } from "./trouble_view";

declare global {
  interface Window {
    /** The session, for tests and for the console. */
    streamer: Session;
    /** What the danmaku layer has done. */
    danmaku: DanmakuLayer;
  }
}

const TICK_MS = 250;

function start(room: string): void {
  const chosen = new Chosen();
  const language = chooseLanguage(location.search, chosen.now.language, navigator.languages);
  const video = byId<HTMLVideoElement>("video");
  const identity = new Identity(room);
  // First of all: whatever the page does meanwhile, the answer is on its way.
  const session = connect(room, {
    video,
    transport: transportOf(location.search) ?? chosen.now.transport,
    language,
    ...identity.options,
  });
  identity.follow(session);
  window.streamer = session;
  const words = new Words(language);
  words.render(() => {
    document.documentElement.lang = words.locale;
    document.title = words.say("title", { room });
    fillWords(words);
  });
  setText(byId("room"), room);
  build(session, video, words, chosen);
}

function build(session: Session, video: HTMLVideoElement, words: Words, chosen: Chosen): void {
  const layer = new DanmakuLayer(byId<HTMLCanvasElement>("danmaku"));
  const hearts = new Hearts(byId<HTMLCanvasElement>("hearts"));
  window.danmaku = layer;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const apply = ({ danmaku, opacity, density }: Preferences): void => {
    layer.enabled = danmaku && !calm.matches;
    layer.opacity = opacity;
    layer.density = density;
    hearts.enabled = !calm.matches;
    byId("stage").dataset["calm"] = String(calm.matches && danmaku);
    controls.render();
  };
  const orders = new Orders(session);
  const orderSheet = new OrderSheet(session, words, orders);
  const shelfSheet = new Sheet("shelf-sheet", words);
  const card = new Card(session, words, (offer) => orderSheet.begin(offer));
  const shelf = new ShelfView(session, words, orders, {
    buy: (offer) => orderSheet.begin(offer),
    open: (order) => orderSheet.show(order),
  });
  const chat = new Chat(session, words, layer, chosen);
  const likes = new Likes(session, words, hearts, (text) => chat.note(text));
  const settings = new Settings(session, words, chosen, apply);
  const layout = new Layout(video, words, { shelf: shelf.node, log: chat.log.node, shelfSheet });
  const look = {
    get danmaku() {
      return chosen.now.danmaku;
    },
    get shortcuts() {
      return chosen.now.shortcuts;
    },
  };
  const controls = new Controls(session, video, words, look, {
    toggleDanmaku: () => {
      chosen.change({ danmaku: !chosen.now.danmaku });
      apply(chosen.now);
    },
    openSettings: () => settings.open(),
    openShelf: () => layout.openShelf(),
    buy: () => {
      const { offer } = card;
      if (offer?.standing === "open") orderSheet.begin(offer);
    },
    write: () => chat.focus(),
    like: () => likes.press(),
  });
  keepLastPicture(session, video, byId<HTMLCanvasElement>("still"));
  new TroubleView(session, words);
  new Announcements(session, words);
  calm.addEventListener("change", () => apply(chosen.now));
  const follow = (): void => {
    layer.paused = video.paused || session.state.media.phase !== "playing";
  };
  for (const name of ["pause", "play"]) video.addEventListener(name, follow);
  session.on("state", follow);
  const showNumbers = (): void => {
    const { presence } = session.totals;
    byId("audience").hidden = presence === 0;
    setText(byId("audience"), words.count("audience", presence, count(presence, words.locale)));
    const { size } = session.shelf.products;
    const bag = byId<HTMLButtonElement>("bag");
    face(bag, "bag", words.count("shelf.open", size));
    bag.dataset["count"] = size ? String(size) : "";
  };
  session.on("totals", showNumbers);
  session.on("shelf", showNumbers);
  words.render(showNumbers);
  apply(chosen.now);
  byId("page").dataset["ready"] = "yes";
  orderSheet.resume();
  setInterval(() => {
    card.render();
    shelf.tick();
    orderSheet.tick();
    settings.tick();
  }, TICK_MS);
}

const room = roomOf(location.pathname);
if (room) start(room);
else {
  const words = new Words(chooseLanguage(location.search, new Chosen().now.language, navigator.languages));
  byId("page").dataset["ready"] = "yes";
  byId("trouble").dataset["level"] = "panel";
  setText(byId("message"), words.say("trouble.noroom"));
  setText(byId("hint"), words.say("trouble.noroom.hint"));
}
