// Numbers and times as people read them. A venue's digits stay as they are: only grouped.

/** `68912.35` -> `68,912.35`. */
export function digits(text) {
  if (text === null || text === undefined) return "–";
  const [whole, fraction] = String(text).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** A number of ours, not a venue's: at most `places` decimals. */
export function number(value, places = 2) {
  if (!Number.isFinite(value)) return "–";
  return digits(value.toFixed(places)).replace("-", "−");
}

/** A venue's digits or ours, for a glance: three that matter. `3.4447663` -> `3.44`. */
export function rough(text) {
  const value = Number(text);
  if (text === null || text === undefined || !Number.isFinite(value)) return "–";
  const places = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return number(value, Math.min(places, 12));
}

/** `0.0123` -> `+1.23 %`. */
export function percent(fraction, places = 2) {
  if (!Number.isFinite(fraction)) return "–";
  const text = (Math.abs(fraction) * 100).toFixed(places);
  const sign = Number(text) === 0 ? "" : fraction > 0 ? "+" : "−";
  return `${sign}${digits(text)} %`;
}

/** A share, which has no sign: `0.523` -> `52.3 %`. */
export function share(fraction) {
  return Number.isFinite(fraction) ? `${(fraction * 100).toFixed(1)} %` : "–";
}

export function compact(value) {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) < 1000) return String(Math.round(value * 10) / 10);
  return new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(
    value,
  );
}

export function bytes(value) {
  if (!Number.isFinite(value)) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${at && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

/** Milliseconds as a duration: `0.31 ms`, `240 ms`, `3.2 s`, `4 min`, `2 h 5 min`. */
export function duration(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 0) return `−${duration(-ms)}`;
  if (ms < 0.005) return "0 ms";
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const pad = (value, width = 2) => String(value).padStart(width, "0");

/** The time of day, UTC: `18:04:09`. */
export function clockTime(ms, { seconds = true, millis = false } = {}) {
  const at = new Date(ms);
  let text = `${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}`;
  if (seconds) text += `:${pad(at.getUTCSeconds())}`;
  if (millis) text += `.${pad(at.getUTCMilliseconds(), 3)}`;
  return text;
}

/** With its day, where that is not today. */
export function moment(ms, nowMs) {
  const day = (value) => new Date(value).toISOString().slice(0, 10);
  return day(ms) === day(nowMs) ? clockTime(ms) : `${day(ms)} ${clockTime(ms, { seconds: false })}`;
}

export const plural = (count, one, many = `${one}s`) =>
  `${digits(count)} ${count === 1 ? one : many}`;
