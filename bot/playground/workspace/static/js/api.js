// Calls the workspace's page API; every answer is a value, also when the workspace is gone.

async function call(path, options = {}) {
  try {
    const answer = await fetch(path, { cache: "no-store", ...options });
    const body = await answer.json().catch(() => ({}));
    if (answer.ok) return body;
    return { ok: false, error: body.error || `HTTP ${answer.status}`, unreachable: false };
  } catch {
    return { ok: false, error: "workspace unreachable", unreachable: true };
  }
}

function get(path, query = {}) {
  return call(`${path}?${new URLSearchParams(query)}`);
}

function post(path, body) {
  return call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

export const api = {
  state: (as) => get("/ui/state", as ? { as } : {}),
  messages: (as, channel) => get(`/ui/channels/${encodeURIComponent(channel)}/messages`, { as }),
  thread: (as, channel, ts) => get(`/ui/channels/${encodeURIComponent(channel)}/threads/${encodeURIComponent(ts)}`, { as }),
  traffic: (after) => get("/ui/traffic", { after }),
  action: (body) => post("/ui/action", body),
  viewAction: (body) => post("/ui/view_action", body),
  viewSubmit: (body) => post("/ui/view_submit", body),
  viewClose: (body) => post("/ui/view_close", body),
  command: (body) => post("/ui/command", body),
  message: (body) => post("/ui/message", body),
  read: (body) => post("/ui/read", body),
  locale: (body) => post("/ui/locale", body),
  channelLocale: (locale) => post("/ui/channel_locale", { locale }),
};
