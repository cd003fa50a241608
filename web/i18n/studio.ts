// Every sentence of the studio, which a host reads. Apart from those of the watch page, which no host loads.

import { fill, type Language, type Values } from "./language";

const en = {
  "title": "{room} · Studio · Streamer",
  "go": "Go live",
  "stop": "Stop",
  "picture": "Your picture",
  "camera": "Camera",
  "microphone": "Microphone",
  "key": "Stream key",
  "key.hint": "kept until this tab closes",
  "watch": "Watch this room",
  "no-room": "This address names no room.",

  "state.off": "Not live",
  "state.connecting": "Connecting",
  "state.live": "Live",
  "connecting": "Connecting.",
  "fact.fps": "{n} fps",
  "fact.rtt": "{ms} ms round trip",

  "device.video": "camera",
  "device.audio": "microphone",
  "device.both": "camera or microphone",
  "device.video.number": "Camera {n}",
  "device.audio.number": "Microphone {n}",
  "device.choose": "Choose one",
  "device.ended": "The {device} has stopped. Choose it again, or another one.",
  "device.NotAllowedError": "The {device} is not allowed. Allow it in the browser's address bar, then try again.",
  "device.NotFoundError": "No {device} was found.",
  "device.NotReadableError": "The {device} is in use by another program.",
  "device.AbortError": "The {device} did not start. Try again, or choose another one.",
  "device.OverconstrainedError": "The chosen {device} is gone. Choose another one.",
  "device.other": "The {device} could not be opened ({name}).",
  "device.insecure":
    'A browser gives its camera only to a page over HTTPS. Open {address} (see "streamer cert"), or use localhost.',
  "device.none": "This browser gives no camera to pages. Please use a recent Chrome, Edge or Safari.",

  "refused.401": "This room needs its stream key.",
  "refused.403": "The stream key is not right for this room.",
  "refused.404": "There is no such room.",
  "refused.409": "Somebody else is live in this room. Trying again.",
  "refused.422": "This browser sends nothing that the server takes. Please use a recent Chrome, Edge or Safari.",
  "refused.503": "The server is full or restarting. Trying again.",
  "refused.blocked": "An operator has closed this room to broadcasts for now. Please try again later.",
  "refused.wait": "After wrong stream keys, please wait {s} s and try again.",
  "refused.other": "The server answered {status}. Trying again.",

  "ended.lost": "The connection was lost. Trying again.",
  "ended.other": "The server has ended the broadcast.",
  "ended.4001": "The server is restarting. Trying again.",
  "ended.4100": "Somebody else went live in this room with the same key.",
  "ended.4102": "The server could not read what this browser sent.",
  "ended.4103": "The broadcast was stopped by an operator.",
} as const;

export type StudioKey = keyof typeof en;

const zh: Readonly<Record<StudioKey, string>> = {
  "title": "{room} · 开播 · Streamer",
  "go": "开始直播",
  "stop": "停止直播",
  "picture": "你的画面",
  "camera": "摄像头",
  "microphone": "麦克风",
  "key": "推流密钥",
  "key.hint": "保留到关闭此标签页",
  "watch": "观看这个直播间",
  "no-room": "这个地址没有指明直播间。",

  "state.off": "未开播",
  "state.connecting": "正在连接",
  "state.live": "直播中",
  "connecting": "正在连接。",
  "fact.fps": "{n} 帧/秒",
  "fact.rtt": "往返 {ms} 毫秒",

  "device.video": "摄像头",
  "device.audio": "麦克风",
  "device.both": "摄像头或麦克风",
  "device.video.number": "摄像头 {n}",
  "device.audio.number": "麦克风 {n}",
  "device.choose": "请选择",
  "device.ended": "{device}已停止。请重新选择它，或换一个。",
  "device.NotAllowedError": "没有使用{device}的权限。请在浏览器地址栏中允许，然后重试。",
  "device.NotFoundError": "没有找到{device}。",
  "device.NotReadableError": "{device}正被其他程序使用。",
  "device.AbortError": "{device}没有启动。请重试，或换一个。",
  "device.OverconstrainedError": "所选的{device}已不存在。请换一个。",
  "device.other": "无法打开{device}（{name}）。",
  "device.insecure": "浏览器只允许 HTTPS 页面使用摄像头。请打开 {address}（参见“streamer cert”），或使用 localhost。",
  "device.none": "这个浏览器不允许网页使用摄像头。请使用新版的 Chrome、Edge 或 Safari。",

  "refused.401": "这个直播间需要推流密钥。",
  "refused.403": "推流密钥与这个直播间不符。",
  "refused.404": "没有这个直播间。",
  "refused.409": "已有其他人在这个直播间直播。正在重试。",
  "refused.422": "服务器不支持这个浏览器发送的格式。请使用新版的 Chrome、Edge 或 Safari。",
  "refused.503": "服务器已满或正在重启。正在重试。",
  "refused.blocked": "管理员暂时不允许这个直播间开播。请稍后再试。",
  "refused.wait": "推流密钥多次有误，请等待 {s} 秒后重试。",
  "refused.other": "服务器返回了 {status}。正在重试。",

  "ended.lost": "连接已断开。正在重试。",
  "ended.other": "服务器结束了直播。",
  "ended.4001": "服务器正在重启。正在重试。",
  "ended.4100": "有人用同一个密钥在这个直播间开播了。",
  "ended.4102": "服务器无法识别这个浏览器发送的内容。",
  "ended.4103": "直播已被管理员停止。",
};

export const STUDIO: Readonly<Record<Language, Readonly<Record<StudioKey, string>>>> = { en, zh };

export type Say = (key: StudioKey, values?: Values) => string;

/** What says the sentences of one language. */
export function sayer(language: Language): Say {
  return (key, values = {}) => fill(STUDIO[language][key], values);
}
