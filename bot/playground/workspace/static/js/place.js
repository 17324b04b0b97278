// Keeps where a person is (channel, acting user, thread) in the address, so that a reload stays there.

export function readPlace() {
  const [channel, as, thread] = decodeURIComponent(location.hash.slice(1)).split("/");
  return { channel: channel || null, as: as || null, thread: thread || null };
}

export function writePlace({ channel, as, thread }) {
  const hash = `#${[channel, as, thread].filter(Boolean).join("/")}`;
  if (hash !== location.hash) history.replaceState(null, "", hash);
}
