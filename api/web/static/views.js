// Named views: an address with everything that was asked for, kept under a name. Whoever has signed
// in finds theirs on the server, wherever they sign in; elsewhere this browser keeps them.

import { t } from "./words.js";

const KEPT = "wardtwin-views";
const place = document.getElementById("views");
const list = place.querySelector("ul");
const form = place.querySelector("form");

const inBrowser = {
  async all() {
    try {
      const known = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
      return Array.isArray(known) ? known : [];
    } catch {
      return [];
    }
  },
  async keep(view) {
    const others = (await this.all()).filter((one) => one.name !== view.name);
    localStorage.setItem(KEPT, JSON.stringify([...others, view]));
  },
  async forget(name) {
    const others = (await this.all()).filter((one) => one.name !== name);
    localStorage.setItem(KEPT, JSON.stringify(others));
  },
};

const onServer = {
  async all() {
    const answer = await fetch("/v1/views");
    if (answer.status === 404) {
      // An encrypted store keeps no addresses beside it.
      views = inBrowser;
      return views.all();
    }
    return answer.ok ? answer.json() : [];
  },
  keep: ({ name, href }) => change(name, "PUT", JSON.stringify({ href })),
  forget: (name) => change(name, "DELETE"),
};

async function change(name, method, body) {
  const headers = { "X-CSRF-Token": place.dataset.csrf, "Content-Type": "application/json" };
  const answer = await fetch(`/v1/views/${encodeURIComponent(name)}`, { method, headers, body });
  if (!answer.ok) throw new Error(answer.statusText);
}

let views = place.dataset.csrf ? onServer : inBrowser;

async function show() {
  const known = (await views.all()).filter(
    (view) => typeof view.name === "string" && view.href?.startsWith("/"),
  );
  list.replaceChildren(...known.map((view) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    const gone = document.createElement("button");
    link.href = view.href;
    link.textContent = view.name;
    gone.type = "button";
    gone.textContent = "\u00d7";
    gone.setAttribute("aria-label", t("Forget the view {name}", { name: view.name }));
    gone.addEventListener("click", () => settle(views.forget(view.name)));
    item.append(link, gone);
    return item;
  }));
}

// What was kept or forgotten is shown as it stands then; what the server refused stays in the form.
async function settle(done) {
  try {
    await done;
    form.reset();
    form.elements.name.setCustomValidity("");
  } catch {
    form.elements.name.setCustomValidity(t("The server does not answer."));
    form.reportValidity();
  }
  await show();
  form.elements.name.focus();
}

form.addEventListener("input", () => form.elements.name.setCustomValidity(""));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = form.elements.name.value.trim();
  if (name) settle(views.keep({ name, href: location.pathname + location.search }));
});

addEventListener("storage", show);
place.addEventListener("toggle", show, { once: true });
if (!place.dataset.csrf) show();
place.hidden = false;

// Language, clock and wall screen change how the present view is shown: the address may have moved
// on since the page came, with the slider or with what is searched for.
for (const link of document.querySelectorAll("a[data-sets]")) {
  for (const reached of ["pointerenter", "focus", "click"]) {
    link.addEventListener(reached, () => {
      const name = link.dataset.sets;
      const address = new URL(location.href);
      address.searchParams.set(name, new URL(link.href).searchParams.get(name));
      link.href = address.pathname + address.search;
    });
  }
}
