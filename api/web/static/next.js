// How far a simulation is, as it goes; the page is loaded again once it is over.

import { number } from "./words.js";

const source = new EventSource(document.querySelector("[data-progress]").dataset.progress);

source.addEventListener("progress", (event) => {
  const { state, done, of, doing } = JSON.parse(event.data);
  const bar = document.getElementById("progress");
  bar.max = of;
  bar.value = done;
  document.getElementById("compiling").hidden = doing !== "compiling";
  document.getElementById("done").textContent = number(done);
  if (["done", "failed", "cancelled"].includes(state)) {
    source.close();
    location.reload();
  }
});
