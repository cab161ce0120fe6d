// The Data page: the data sets at the left, the report of the chosen one or of all at the right.
// Body of js_on_load of ui/pages/data.py. server: the page's methods; most answer with a whole snapshot.
const TABS = ["findings", "numbers", "captions", "settings"];
const keep = (name, value) => localStorage.setItem("athanor.data." + name, value);
const kept = (name, otherwise) => localStorage.getItem("athanor.data." + name) ?? otherwise;
const state = { selected: kept("selected", "all"), tab: kept("tab", "findings"), snapshot: null, shown: "", timer: 0, form: null, formKey: "" };
const part = (name) => element.querySelector(`[data-part="${name}"]`);

async function ask(method, argument) {
  const answer = await Promise.resolve(server[method](argument)).catch(() => null);
  if (!answer) say([words("unreachable")], true);
  return answer;
}

// Changes are sent one after the other; only the last answer is shown.
let sending = Promise.resolve();
let waiting = 0;
function inTurn(method, argument = {}) {
  waiting += 1;
  busy();
  sending = sending.then(async () => {
    const answer = await ask(method, { selected: state.selected, ...argument });
    waiting -= 1;
    busy();
    if (answer?.done) say(answer.done, false, answer.undo);
    if (answer && !waiting) apply(answer);
  });
  return sending;
}

const busy = () => element.querySelector(".data-root").setAttribute("aria-busy", waiting > 0);

const page = {
  address: (record, size) => `../pictures/${state.snapshot.number}/${record}?size=${size}`,
  change: (method, argument) => { say([]); return inTurn(method, argument); },
  setRow: (index, values) => page.change("set_row", { index, row: { ...state.snapshot.rows[index], ...values } }),
  select: (key) => { state.selected = key; keep("selected", key); inTurn("snapshot"); },
  preview: async (record) => {
    const dialog = el("dialog", { class: "athanor-dialog preview-dialog" });
    const close = () => { dialog.close(); dialog.remove(); };
    dialog.addEventListener("cancel", close);
    dialog.addEventListener("click", (event) => event.target === dialog && close());
    document.body.append(dialog);
    dialog.append(...previewNode({ name: "\u2026", written: [], draws: [], limit: 0 }, record, close));
    dialog.showModal();
    const answer = await ask("captions", { record });
    if (answer && dialog.isConnected) dialog.replaceChildren(...previewNode(answer, record, close));
  },
  pictureButton: (record, name = "") => el("button", { type: "button", class: "picture-button", "aria-label": name || words("preview"), onclick: () => page.preview(record) }, thumbnail(record, name)),
  showNames: async (finding, host, offset, stay = false) => {
    const toggle = host.parentElement.querySelector("[aria-expanded]");
    host.hidden = !stay && !host.hidden;
    toggle.setAttribute("aria-expanded", !host.hidden);
    if (host.hidden) return;
    const answer = await ask("names", { finding: finding.number, code: finding.code, offset });
    if (answer) host.replaceChildren(...namesNode(answer, finding, host).filter(Boolean));
  },
  gallery: async (host, wanted, title, searchable = false) => {
    const show = async (offset) => {
      const answer = await ask("pictures", { selected: state.selected, wanted, offset });
      if (answer) box.replaceChildren(...galleryNode(answer, title, show).filter(Boolean));
    };
    const box = el("div");
    let typing = 0;
    const search = searchable && el("input", { type: "search", class: "data-search", placeholder: words("pictures.search"), "aria-label": words("pictures.search"), oninput: (event) => { clearTimeout(typing); typing = setTimeout(() => { wanted = { text: event.target.value }; show(0); }, 250); } });
    host.replaceChildren(...[search, box].filter(Boolean));
    await show(0);
  },
  goToField: (path) => {
    const [, row, name] = path.match(/^data\.datasets\[(\d+)\]\.(\w+)$/) || [];
    const general = props.value.general.find((field) => field.path === path);
    if (row !== undefined || general) {
      state.selected = row ?? "all";
      state.tab = "settings";
      return inTurn("snapshot").then(() => state.form?.focus(name ?? general.name));
    }
    location.hash = "train/expert";
    const find = (tries) => {
      const entry = document.querySelector(`#view-expert [data-problem="${CSS.escape(path)}"]`) || document.querySelector(`#view-expert [data-path="${CSS.escape(path)}"] input`);
      if (entry) entry.matches("button") ? entry.click() : entry.focus();
      else if (tries) setTimeout(find, 200, tries - 1);
    };
    setTimeout(find, 300, 15);
  },
};

function build() {
  const start = (queue) => async () => {
    const buttons = element.querySelectorAll("#data-start, #data-queue");
    buttons.forEach((node) => (node.disabled = true));
    await sending;
    const answer = await startRun({ queue });
    if (answer?.message) say([answer.message], Boolean(answer.failed));
    if (answer?.run) { say([props.value.texts[queue ? "queued" : "started"]]); if (!queue) window.athanor.openRun(answer.run); }
    setTimeout(() => buttons.forEach((node) => (node.disabled = false)), 1000);
  };
  element.querySelector(".data-root").replaceChildren(
    el("div", { class: "data-left" },
      el("ul", { class: "data-cards", "data-part": "cards" }),
      el("button", { type: "button", class: "plain-button", id: "data-add", onclick: () => { state.tab = "settings"; page.change("add").then(() => { state.selected = state.snapshot.selected; state.form?.focus("path"); }); } }, "+ " + words("add"))),
    el("div", { class: "data-right" },
      el("div", { class: "data-message", role: "status", "data-part": "note", hidden: true }),
      el("header", { class: "data-head" },
        el("div", {}, el("h2", { "data-part": "title" }), el("dl", { class: "data-facts", "data-part": "facts" })),
        el("div", { class: "data-start" },
          el("button", { type: "button", class: "main-button", id: "data-start", onclick: start(false) }, words("start")),
          el("button", { type: "button", class: "plain-button", id: "data-queue", onclick: start(true) }, words("queue")))),
      el("div", { class: "data-arithmetic", "data-part": "arithmetic" }),
      el("div", { class: "data-look", "data-part": "look" }),
      el("ul", { class: "findings", "data-part": "problems" }),
      el("div", { class: "panel-tabs", role: "tablist", "data-part": "tabs" }, ...TABS.map((name) => el("button", { type: "button", role: "tab", id: "data-tab-" + name, "data-tab": name, onclick: () => showTab(name) }, words("tab." + name)))),
      el("div", { class: "data-body", role: "tabpanel", "data-part": "body" })));
}

function say(lines, failed = false, undo = null) {
  const box = part("note");
  box.hidden = !lines.length;
  box.classList.toggle("is-error", failed);
  box.replaceChildren(el("div", {}, ...lines.map((line) => el("p", {}, line))), ...(undo ? [button(words("undo"), () => page.change("undo", undo), { "data-tool": "undo" })] : []));
}

function showTab(name) {
  state.tab = name;
  keep("tab", name);
  state.shown = "";
  apply(state.snapshot);
}

function lookNode(snapshot) {
  const going = snapshot.waiting;
  if (!going) {
    if (!snapshot.view?.num_images) return [];
    const looked = snapshot.view.num_looked >= snapshot.view.num_images;
    return [looked ? null : button(words("look_closely"), () => page.change("look_closely"), { class: "plain-button", id: "data-look", title: words("look_closely.help") }), button(words("look_again"), () => page.change("look_again"), { id: "data-look-again" })];
  }
  const bar = going.percent === null ? null : el("span", { class: "run-progress", role: "progressbar", "aria-valuenow": going.percent }, el("i", { style: `width:${going.percent}%` }));
  return [el("span", { class: "look-text", role: "status" }, going.text), bar, going.can_cancel ? button(words("cancel"), () => page.change("cancel")) : null, going.is_cancelled ? button(words("look_again"), () => page.change("look_again")) : null];
}

function emptyNode() {
  return el("div", { class: "run-empty" }, el("h3", { "aria-level": 2 }, words("empty")), el("p", {}, words("empty.help")), el("button", { type: "button", class: "plain-button", id: "data-example", onclick: () => page.change("example") }, words("example")));
}

// The form of the selected data set, the same as a row of the Expert page; of all: the rules that hold for each.
function makeForm(index) {
  const { general, schema } = props.value;
  if (index === null) return rowForm(general, "data-all", () => inTurn("set_general", { values: state.form.read() }), { rules: words("general") });
  return rowForm(schema.items.datasets, `data-row-${index}`, () => inTurn("set_row", { index, row: state.form.read() }));
}

// The form is kept while it shows the same row, so that what is open stays open.
function settingsTab(snapshot) {
  const index = snapshot.selected === "all" ? null : Number(snapshot.selected.split(".")[0]);
  const key = `${index}/${snapshot.rows.length}`;
  if (state.formKey !== key || !state.form) {
    state.form = makeForm(index);
    state.formKey = key;
  }
  const shared = Object.fromEntries(props.value.general.map((field) => [field.name, snapshot.values[field.path]]));
  state.form.show(index === null ? shared : snapshot.rows[index], snapshot.values);
  const node = part("body");
  const old = node.querySelector(".data-code");
  const code = codeNode(snapshot.code);
  if (node.firstElementChild !== state.form.node) node.replaceChildren(state.form.node, ...[code].filter(Boolean));
  else { old?.remove(); if (code) node.append(code); }
}

function apply(snapshot) {
  state.snapshot = snapshot;
  state.selected = snapshot.selected;
  const { view, cards, selected } = snapshot;
  const card = cards.find((each) => each.key === selected);
  const isEmpty = !cards.length;
  part("cards").replaceChildren(...(isEmpty ? [] : [allCard(snapshot, selected === "all")]), ...cards.map((each) => cardNode(each, each.key === selected)));
  element.querySelector(".data-head").hidden = isEmpty;
  part("title").textContent = card ? card.title : words("all");
  const { tab } = state;
  // While only the plan is made anew, the report of the same pictures stays, dimmed.
  const frame = JSON.stringify([tab, selected, snapshot.number]);
  const isOld = !view && ["plan", "report"].includes(snapshot.waiting?.kind) && frame === state.frame;
  state.frame = frame;
  element.querySelector(".data-right").classList.toggle("is-old", isOld);
  if (!isOld) {
    part("facts").replaceChildren(...(view?.numbers?.facts ?? []).map(({ label, value }) => el("div", {}, el("dt", {}, label), el("dd", {}, value))));
    part("arithmetic").replaceChildren(...(isEmpty ? [] : view?.arithmetic ?? []).map((line) => el("p", {}, line)));
  }
  part("look").replaceChildren(...(isEmpty ? [] : lookNode(snapshot)).filter(Boolean));
  part("problems").replaceChildren(...(isEmpty ? [] : snapshot.problems).map((problem) => el("li", { class: "finding is-" + problem.level }, el("p", {}, levelBadge(problem.level), " ", problem.text))));
  part("tabs").hidden = isEmpty;
  for (const node of part("tabs").children) node.setAttribute("aria-selected", node.dataset.tab === tab);
  if (!isOld || tab === "settings") body(snapshot, tab, isEmpty);
  clearTimeout(state.timer);
  const goesOn = snapshot.waiting && !snapshot.waiting.is_cancelled;
  if (goesOn) state.timer = setTimeout(() => element.isConnected && document.body.dataset.page === "data" && inTurn("snapshot"), 1000);
}

// What is shown already stays, so that galleries and open lists are not lost while something goes on.
function body(snapshot, tab, isEmpty) {
  const { view } = snapshot;
  if (!isEmpty && tab === "settings") { state.shown = ""; return settingsTab(snapshot); }
  const shown = JSON.stringify([tab, snapshot.selected, snapshot.number, isEmpty, view]);
  if (shown === state.shown) return;
  state.shown = shown;
  const nodes = isEmpty ? [emptyNode()] : !view ? [] : tab === "findings" ? findingsTab(view) : !view.numbers ? [] : tab === "numbers" ? numbersTab(view.numbers) : captionsTab(view.numbers);
  part("body").replaceChildren(...nodes.filter(Boolean));
}

build();
window.athanorData?.abort();
window.athanorData = new AbortController();
document.addEventListener("athanor:shown", (event) => event.detail.page === "data" && inTurn("snapshot"), { signal: window.athanorData.signal });
if (document.body.dataset.page === "data") inTurn("snapshot");
