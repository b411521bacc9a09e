// A page on the wall has nobody in front of it: it brings itself up to date, and says when it cannot.

import { t } from "./words.js";

const EVERY_MS = 30000;
const main = document.getElementById("main");

async function refresh() {
  try {
    const answer = await fetch(location.href);
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [time, fresh] = [document.querySelector(".now"), page.querySelector(".now")];
    main.replaceChildren(...page.getElementById("main").childNodes);
    if (time && fresh) time.replaceWith(fresh);
    document.body.classList.remove("is-stale");
  } catch {
    if (document.body.classList.contains("is-stale")) return;
    document.body.classList.add("is-stale");
    const notice = document.createElement("p");
    notice.className = "notice";
    notice.setAttribute("role", "status");
    notice.textContent = t("The server does not answer. What is shown is out of date.");
    main.prepend(notice);
  }
}

setInterval(refresh, EVERY_MS);
