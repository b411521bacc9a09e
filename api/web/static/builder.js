// What a form asks stands in the address as it is written, so that it can be sent or kept.

const form = document.querySelector("form.builder");

form?.addEventListener("input", () => {
  const address = new URL(location.pathname, location.origin);
  for (const field of form.elements) {
    // A choice that belongs to a number says nothing where the number is not given.
    const number = { close_unit: "close_beds", surge_for: "surge_beds" }[field.name];
    const counts = !number || form.elements[number].value;
    if (field.name && field.type !== "hidden" && field.value && counts) {
      address.searchParams.set(field.name, field.value);
    }
  }
  history.replaceState(null, "", address);
});
