// What the gateway is configured with while it is measured: everything on, at all five levels, and nothing in the way.

/** The secret that the provider's key is in. */
export const PROVIDER_KEY = "BENCH_PROVIDER_KEY";

/** An organisation with limits and budgets at every level. */
export const STRICT = { org: "strict", team: "search", app: "crawler", user: "ann" };
/** An organisation without any: its usage is recorded, nothing is checked. */
export const LOOSE = { org: "loose" };

/** Each kind of rule, far above what a run uses: every one is checked and charged, none denies. */
export const RULES = {
  limits: [
    { requests: 100_000_000, per: "1m" },
    { tokens: 100_000_000_000, per: "1m" },
    { requests: 1_000_000_000, per: "1h", burst: 10_000_000 },
    { concurrent: 100_000 },
  ],
  budgets: [
    { usd: "100000", per: "day" },
    { usd: "1000000", per: "month" },
  ],
};

const PRICE = { input: "0.15", input_cached: "0.075", output: "0.6" };

/** The configuration, with the mock at this address. */
export function document(upstream) {
  const { org, team, app, user } = STRICT;
  return {
    providers: {
      mock: { dialect: "openai", base_url: `${upstream}/v1`, key: PROVIDER_KEY, models_allow: ["*"] },
      placed: { dialect: "openai", base_url: `${upstream}/v1`, key: PROVIDER_KEY, models_allow: ["*"], egress: "wnam" },
      sandbox: { dialect: "sandbox" },
    },
    prices: { "mock/*": PRICE, "placed/*": PRICE },
    orgs: {
      [org]: {
        ...RULES,
        teams: { [team]: { ...RULES, apps: { [app]: RULES } } },
        users: { [user]: RULES },
      },
      [LOOSE.org]: {},
    },
  };
}
