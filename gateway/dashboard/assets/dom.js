// Elements, made and changed. Text only ever becomes text: there is no way from here to markup.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "polyline", "path", "line", "circle", "g", "title"]);

/** An element; `on…` attributes are listeners, null children and attributes are left out. */
export function h(tag, attributes = {}, ...children) {
  const node = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** The text of an element that holds nothing else; untouched where it is the same. */
export function write(node, text) {
  const first = node.firstChild;
  if (first === null) node.append(text);
  else if (first.data !== text) first.data = text;
}

export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Lays a node over the page, which nothing reaches meanwhile; gives the way to end that. */
export function overlay(node) {
  const below = [...document.body.children];
  const before = document.activeElement;
  for (const one of below) one.inert = true;
  document.body.append(node);
  return () => {
    node.remove();
    for (const one of below) one.inert = false;
    before?.focus?.({ preventScroll: true });
  };
}

export function clear(node) {
  node.replaceChildren();
  return node;
}

export function isTyping() {
  const node = document.activeElement;
  return node !== null && /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName);
}
