// A no, by number, in plain words. The server's numbers are in docs/interaction.md; those below 100 are the SDK's own.

import type { Language, Refusal, RefusedError } from "./types";

export const CLOSED = 10;
export const ABORTED = 11;
export const NOT_JOINED = 12;
export const NO_PRICE = 13;
export const UNREADABLE = 14;
/** From here on the same message would be refused again (interaction/refusal.py). */
export const FIRST_FINAL = 1100;
export const UNAVAILABLE = 1001;
export const TOO_FAST_ROOM = 1004;
export const FOREIGN_EPOCH = 1106;
export const FUTURE = 1107;
export const TOKEN = 1110;
export const JOIN_FIRST = 1113;

type Words = readonly [name: string, en: string, zh: string];

const WORDS: Readonly<Record<number, Words>> = {
  [CLOSED]: ["closed", "You have left the room.", "你已离开直播间。"],
  [ABORTED]: ["aborted", "The request was given up before there was an answer.", "请求在得到答复前已取消。"],
  [NOT_JOINED]: ["not joined", "There is no connection to the room right now. Try again.", "暂时未连接到直播间，请重试。"],
  [NO_PRICE]: ["no price", "No price has been shown for this yet.", "该商品尚未显示价格。"],
  [UNREADABLE]: ["unreadable", "The server's answer cannot be read.", "无法读取服务器的答复。"],
  1001: ["unavailable", "The room is busy. Try again.", "直播间繁忙，请重试。"],
  1002: ["too fast", "Too fast. Wait a moment.", "操作太快，请稍候。"],
  1003: ["too fast from address", "Too much comes from your network. Wait a moment.", "你所在网络的请求过多，请稍候。"],
  1004: ["too fast in room", "The room is very busy. Wait a moment.", "直播间太热闹了，请稍候。"],
  1010: ["sales closed", "Sales are closed for the moment.", "暂停销售。"],
  1011: ["too early", "It is not open yet.", "尚未开始。"],
  1100: ["malformed", "The message cannot be read.", "消息无法识别。"],
  1101: ["too large", "That is too long.", "内容过长。"],
  1102: ["unknown command", "The server does not know this request.", "服务器不支持该请求。"],
  1103: ["unknown kind", "The server does not know this kind of event.", "服务器不支持该类事件。"],
  1104: ["body", "Something in it is not right.", "内容有误。"],
  1105: ["forbidden", "You may not do that here.", "你没有权限。"],
  1106: ["foreign epoch", "That broadcast is over.", "该场直播已结束。"],
  1107: ["future", "It is too far ahead of the picture.", "超前于画面太多。"],
  1108: ["repeated", "You have just said that.", "请勿重复发送。"],
  1109: ["muted", "You are muted.", "你已被禁言。"],
  1110: ["token", "Please sign in again.", "请重新登录。"],
  1111: ["state full", "The room cannot hold any more.", "直播间已满载。"],
  1112: ["no timeline", "Nobody is live right now.", "当前没有直播。"],
  1113: ["join first", "The room has not been joined.", "尚未进入直播间。"],
  1120: ["unknown item", "The shop does not have this.", "店铺没有该商品。"],
  1121: ["sold out", "Sold out.", "已售罄。"],
  1122: ["not enough", "There are not that many left.", "库存不足。"],
  1123: ["limit", "You have had as many as one may have.", "已达限购数量。"],
  1124: ["over", "It is over.", "已结束。"],
  1125: ["price", "The price has changed.", "价格已变动。"],
  1126: ["currency", "The price is in another currency.", "币种不符。"],
  1127: ["coupon", "The coupon cannot be used here.", "优惠券不可用。"],
  1128: ["request reused", "This request was used for something else.", "该请求编号已被使用。"],
  1129: ["order settled", "The order has ended otherwise.", "订单已处理完毕。"],
  1130: ["stale", "There is a later version.", "已有更新版本。"],
  1131: ["below sold", "More than that is sold or reserved.", "低于已售或已预留数量。"],
  1132: ["shop full", "The shop has too many items.", "店铺商品过多。"],
  1133: ["in use", "It is still needed.", "仍在使用中。"],
  1134: ["unknown order", "There is no such order.", "没有该订单。"],
  1135: ["sale only", "It is sold in a sale only.", "仅限活动购买。"],
};

/** The refusal with this number. `name` and `detail` as the server gave them, where it did. */
export function refusal(code: number, language: Language, given: { name?: string; detail?: string } = {}): Refusal {
  const words = WORDS[code];
  const detail = given.detail ?? "";
  const text = words?.[language === "zh" ? 2 : 1] ?? detail;
  const name = given.name ?? words?.[0] ?? "unknown";
  return { code, name, text: text || name, detail, mayRetry: code < FIRST_FINAL && code !== CLOSED && code !== ABORTED };
}

/** What promises reject with. */
export class Refused extends Error implements RefusedError {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.text);
    this.name = "Refused";
    this.refusal = refusal;
  }
}
