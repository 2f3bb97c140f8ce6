// The hub's JSON API (docs/api.md), as far as the app reads it.

export interface SiteStatus {
  active_model: string;
  release?: { version: string; standing: string };
  backlog_bytes: number;
  clock: string;
  alarms: string[];
}

export interface SiteFacts {
  site: string;
  last_link_us: number;
  last_media_us: number;
  status: SiteStatus | null;
}

export const termNames = [
  "received",
  "withheld",
  "not_selected",
  "shed",
  "recalled",
  "not_captured",
  "quarantined",
  "lost",
  "pending",
] as const;
export type TermName = (typeof termNames)[number];

export interface Stream {
  epoch: string;
  class: string;
  rows: number;
  primary_rows: number;
  received: [number, number][];
  gaps: [number, number][];
  unexplained: number;
}

export interface Reconciliation {
  site: string;
  terms: Record<TermName | "scored", number>;
  balanced: boolean;
  difference: number;
  duplicates_ignored: number;
  unexplained_gaps: number;
  streams: Stream[];
}

export interface ClockCorrection {
  how: "anchor" | "bounds";
  written: string;
  not_before: string;
  not_after: string;
}

export interface Anomaly {
  site: string;
  row: string;
  event_time?: string | null; // null: known by bounds alone
  clock_correction?: ClockCorrection; // where the site's clock was not to be trusted
  model?: string;
  score?: number;
  anomaly_score?: number;
  reasons?: string; // a line each
  fields: Record<string, number | string | null>;
}

export interface CountPoint {
  site: string;
  class: string;
  time_us: number;
  rows: number;
}

export type DriftLevel = "quiet" | "watch" | "alarm";

export interface DriftField {
  field: string;
  kind: "feature" | "score";
  psi: number;
  level: DriftLevel;
}

export interface DriftWindow {
  site: string;
  model: string;
  window: number;
  first_event_us: number;
  last_event_us: number;
  rows: number;
  judged: boolean;
  fields: DriftField[];
}

export interface Drift {
  windows: DriftWindow[];
  quiet_below: number;
  alarm_from: number;
}

const tokenKey = "skerry-token";

// The token comes once in the link that the hub prints, and stays for this browser tab.
export function takeToken(location: Location, storage: Storage): string | null {
  const match = /(?:^#|&)token=([^&]+)/.exec(location.hash);
  if (match?.[1]) storage.setItem(tokenKey, decodeURIComponent(match[1]));
  return storage.getItem(tokenKey);
}

export function keepToken(storage: Storage, token: string): void {
  storage.setItem(tokenKey, token);
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export class Api {
  constructor(private readonly token: string) {}

  sites = () => this.get<{ sites: SiteFacts[] }>("/v1/sites").then((answer) => answer.sites);
  reconciliation = (site: string) =>
    this.get<Reconciliation>(`/v1/sites/${encodeURIComponent(site)}/reconciliation`);
  anomalies = (limit: number) =>
    this.get<{ anomalies: Anomaly[] }>(`/v1/anomalies?limit=${limit}`).then((answer) => answer.anomalies);
  overview = () => this.get<{ rows_by_class: Record<string, number> }>("/v1/overview");
  counts = () => this.get<{ points: CountPoint[] }>("/v1/insights?step_s=10").then((answer) => answer.points);
  drift = (site: string) => this.get<Drift>(`/v1/drift?site=${encodeURIComponent(site)}`);

  private async get<T>(path: string): Promise<T> {
    const answer = await fetch(path, { headers: { Authorization: `Bearer ${this.token}` } });
    if (answer.ok) return (await answer.json()) as T;
    const text = await answer.text();
    let message = `${answer.status} ${answer.statusText}`;
    try {
      message = (JSON.parse(text) as { error?: string }).error ?? message;
    } catch {
      // Not the hub's own answer (a proxy's page, say): its status has to do.
    }
    throw new ApiError(answer.status, message);
  }
}
