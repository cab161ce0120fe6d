// The frame of the app, once for the whole page. Body of js_on_load of the top bar: element, props, server.
// Which page is shown stands in the address (#runs, #train/expert), so that a reload and a link find it again.
const PAGES = props.value.pages;
const VIEWS = ["quick", "expert"];
const store = (name, value) => localStorage.setItem("athanor." + name, value);
const stored = (name) => localStorage.getItem("athanor." + name);

function place() {
  const [page, view] = location.hash.slice(1).split("/");
  if (PAGES.includes(page)) return [page, VIEWS.includes(view) ? view : stored("view") || "quick"];
  return [stored("page") || "train", stored("view") || "quick"];
}

function show() {
  const [page, view] = place();
  store("page", page);
  store("view", view);
  document.body.dataset.page = page;
  document.body.dataset.view = view;
  markLinks();
  document.dispatchEvent(new CustomEvent("athanor:shown", { detail: { page, view } }));
}

function markLinks() {
  const { page, view } = document.body.dataset;
  for (const link of document.querySelectorAll("a[data-page]")) {
    const current = link.dataset.page === page && (!link.dataset.view || link.dataset.view === view);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function theme(name) {
  const dark = name === "dark" || (name !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.body.classList.toggle("dark", dark);
  store("theme", name);
}

// The list of runs learns of a new one within a second or two.
function openRun(run, tries = 20) {
  location.hash = "runs";
  const card = document.querySelector(`#runs-list [data-action="open"][data-run="${CSS.escape(run)}"]`);
  if (card) card.click();
  else if (tries) setTimeout(openRun, 250, run, tries - 1);
}

// The caption page hears of it, or reads it when it is made.
function openCaptions(folder) {
  store("captions.folder", folder);
  location.hash = "captions";
  document.dispatchEvent(new CustomEvent("athanor:captions", { detail: { folder } }));
}

function keys() {
  const dialog = document.getElementById("keys-dialog");
  if (dialog.open) dialog.close();
  else dialog.showModal();
}

window.athanorShell?.abort();
window.athanorShell = new AbortController();
const { signal } = window.athanorShell;
window.athanor = { openRun, openCaptions, theme, announce };
addEventListener("hashchange", show, { signal });
document.addEventListener(
  "click",
  (event) => {
    const button = event.target.closest("[data-shell]");
    if (button?.dataset.shell === "theme") theme(document.body.classList.contains("dark") ? "light" : "dark");
    if (button?.dataset.shell === "keys") keys();
    if (button?.dataset.shell === "rail") store("rail", document.body.classList.toggle("rail-narrow") ? "narrow" : "wide");
    const pill = event.target.closest(".job-pill[data-run]");
    if (pill) openRun(pill.dataset.run);
  },
  { signal },
);
document.addEventListener(
  "keydown",
  (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    const asked = document.querySelector("dialog[open]");
    if (["?", "\uff1f"].includes(event.key) && !typing) keys();
    else if (asked) return;
    else if ((event.key === "/" && !typing) || (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey))) {
      const search = [...document.querySelectorAll("[data-search]")].find((box) => box.offsetParent);
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    } else if (!typing && event.altKey && !event.ctrlKey && /^Digit[1-9]$/.test(event.code) && !/[[\]{}|@#\\~]/.test(event.key)) {
      // The key, not what it writes: with the option key of a Mac that is no digit, but may be a bracket.
      const page = PAGES[event.code.at(-1) - 1];
      if (!page) return;
      event.preventDefault();
      location.hash = page;
    }
  },
  { signal },
);
theme(stored("theme") || props.value.theme);
document.body.classList.toggle("rail-narrow", stored("rail") === "narrow");
show();
// Gradio mounts the rail and the pages one after the other: mark the links that come later, too.
const observer = new MutationObserver(() => document.querySelector("a[data-page]:not([data-marked])") && (document.querySelectorAll("a[data-page]").forEach((link) => (link.dataset.marked = "")), markLinks()));
observer.observe(document.body, { childList: true, subtree: true });
signal.addEventListener("abort", () => observer.disconnect());
