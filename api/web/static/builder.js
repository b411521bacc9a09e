// What a form asks stands in the address as it is written, so that it can be sent or kept.

const form = document.querySelector("form.builder");

form?.addEventListener("input", () => {
  const address = new URL(location.pathname, location.origin);
  for (const field of form.elements) {
    if (field.name && field.type !== "hidden" && field.value) {
      address.searchParams.set(field.name, field.value);
    }
  }
  history.replaceState(null, "", address);
});
