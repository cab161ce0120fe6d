// What keyboards and screen readers need of every page. Body of js_on_load of the top bar, before shell.js.
window.athanorKeyboard?.abort();
window.athanorKeyboard = new AbortController();
const always = { signal: window.athanorKeyboard.signal, capture: true };

// While a keyboard composes a word, as Chinese ones do, its keys are its own. Safari tells only by the code.
window.addEventListener("keydown", (event) => (event.isComposing || event.keyCode === 229) && event.stopImmediatePropagation(), always);

// Focus is never lost: what has it may be drawn anew, taken away, hidden or switched off. Then the same control gets it
// where there is one, else what stands at its place, else what the page calls its home, else the page's link.
const CONTROLS = "a[href], button, input, select, textarea, summary, [tabindex]";
const REGIONS = "[data-part], [data-pane], dialog, form, section, nav, .block";
const isThere = (node) => node.isConnected && !node.disabled && node.checkVisibility();
const controlName = (node) => [node.tagName, node.id || node.getAttribute("aria-label") || Object.values(node.dataset).join() || node.textContent].join();
const tabStops = (region) => [...region.querySelectorAll(CONTROLS)].filter((node) => node.tabIndex >= 0);

let lastFocus = null;
function takeNote(node) {
  const dialog = node.closest("dialog");
  const behind = dialog === lastFocus?.dialog ? lastFocus?.behind : lastFocus;
  const regions = [];
  for (let region = node.parentElement?.closest(REGIONS); region && regions.length < 4; region = region === dialog ? null : region.parentElement?.closest(REGIONS)) regions.push([region, tabStops(region).indexOf(node)]);
  lastFocus = { node, name: controlName(node), regions, dialog, behind: dialog ? behind : null };
}

// The control itself, or the one that was drawn in its place.
function sameAgain({ node, name, regions }) {
  if (isThere(node)) return node;
  const found = regions.filter(([region]) => region.isConnected).flatMap(([region]) => [...region.querySelectorAll(node.tagName)]);
  return found.find((other) => controlName(other) === name && isThere(other));
}

function successor(lost) {
  const same = sameAgain(lost);
  if (same) return same;
  for (const [region, place] of lost.regions) {
    if (!region.isConnected) continue;
    const there = tabStops(region).filter(isThere);
    if (there.length) return there[Math.min(Math.max(place, 0), there.length - 1)];
  }
  if (lost.behind) return successor(lost.behind);
  return [...document.querySelectorAll("[data-focus-home], .athanor-rail [aria-current]")].filter(isThere).at(-1);
}

// What comes back within a second, as rows that are on their way, gets the focus back, unless a key was pressed since.
const COMES_BACK = 1000;
let away = null;
function holdFocus() {
  const active = document.activeElement;
  if (away && active === away.at && performance.now() < away.until) sameAgain(away.lost)?.focus({ preventScroll: true });
  if (!lastFocus || (active && active !== document.body && active !== lastFocus.node) || isThere(lastFocus.node)) return;
  const lost = lastFocus;
  const at = successor(lost);
  at?.focus({ preventScroll: true });
  if (at && at !== sameAgain(lost)) away = { lost, at, until: performance.now() + COMES_BACK };
}

document.addEventListener("focusin", (event) => takeNote(event.target), always);
// Who presses on nothing wants nothing to have the focus.
document.addEventListener("pointerdown", () => (lastFocus = away = null), always);
document.addEventListener("keydown", () => (away = null), always);
document.addEventListener("athanor:shown", holdFocus, always);
const changes = new MutationObserver(holdFocus);
changes.observe(document.body, { childList: true, subtree: true, attributeFilter: ["disabled", "hidden", "open"] });
always.signal.addEventListener("abort", () => changes.disconnect());

// The tab key goes round in a dialog, not out to the browser's own buttons.
document.addEventListener("keydown", (event) => {
  const dialog = event.key === "Tab" && event.target.closest("dialog:modal");
  const stops = dialog ? tabStops(dialog).filter(isThere) : [];
  if (!stops.length || event.target !== stops.at(event.shiftKey ? 0 : -1)) return;
  stops.at(event.shiftKey ? -1 : 0).focus();
  event.preventDefault();
}, always);

// Arrows go through tabs, which they open, and through toolbars, which are one stop for the tab key; so is a list of
// many controls that says which in data-rove, and takes arrows itself.
const ALONG = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
document.addEventListener("focusin", ({ target }) => {
  const bar = target.closest("[role=toolbar], [data-rove]");
  const stops = bar ? barStops(bar) : [];
  if (stops.includes(target)) for (const node of stops) node.tabIndex = node === target ? 0 : -1;
}, always);
const barStops = (bar) => [...bar.querySelectorAll(bar.dataset.rove ?? "button, summary")].filter((node) => !node.closest("details :not(summary)"));
document.addEventListener("keydown", (event) => {
  const bar = ALONG[event.key] && event.target.closest("[role=tablist], [role=toolbar]");
  if (!bar || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  const stops = barStops(bar).filter(isThere);
  const at = stops.indexOf(event.target);
  if (at < 0) return;
  const next = stops[Math.min(Math.max(at + ALONG[event.key], 0), stops.length - 1)];
  next.focus();
  if (bar.matches("[role=tablist]")) next.click();
  event.preventDefault();
  event.stopPropagation();
}, always);

// Says something to who does not see the page: once, and what comes at the same time together.
const announcer = Object.assign(document.createElement("div"), { id: "announcer", className: "for-readers" });
announcer.setAttribute("role", "status");
document.getElementById(announcer.id)?.remove();
document.body.append(announcer);
let toSay = [];
function announce(text) {
  if (!text || toSay.includes(text)) return;
  toSay.push(text);
  if (toSay.length > 1) return;
  announcer.textContent = "";
  setTimeout(() => { announcer.textContent = toSay.join("\n"); toSay = []; }, 250);
}
