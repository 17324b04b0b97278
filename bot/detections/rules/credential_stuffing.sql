/*
name: credential_stuffing
title:
  ja: 流出したパスワードによる不正ログインの試行の疑い
  en: Suspected log-ins with leaked passwords
source: market
subject: account
severity: P2
owner: fraud
schedule: {every: 30s}
window: 24h
overlap: 5m
mode: review
parameters:
  accounts_minute:
    default: 30
    ja: 1つのIPアドレスから1分間に試されたアカウントがこの件数以上なら検知します
    en: Finds this many accounts tried from one IP address within a minute
  accounts_hour:
    default: 30
    ja: 1つのIPアドレスから1時間にログインに失敗したアカウントがこの件数以上なら検知します
    en: Finds this many accounts with failed log-ins from one IP address within an hour
  failed_share:
    default: 60
    ja: 1時間の条件は、失敗したアカウントがこの割合(%)以上の場合に限ります
    en: For the hour only where this many per cent of the accounts failed
  addresses_minute:
    default: 15
    ja: 1つのアカウントが1分間にこの数以上のIPアドレスから試されたら検知します
    en: Finds one account tried from this many IP addresses within a minute
  addresses_hour:
    default: 30
    ja: 1つのアカウントが1時間にこの数以上のIPアドレスからログインに失敗したら検知します
    en: Finds one account with failed log-ins from this many IP addresses within an hour
actions: [hold, suspend]
evidence:
  accounts_tried: {ja: 試されたアカウント, en: Accounts tried, type: count}
  accounts_failed: {ja: ログインに失敗したアカウント, en: Accounts that failed, type: count}
  accounts_entered: {ja: 見慣れないログインに成功したアカウント, en: Accounts entered from there for the first time, type: count}
  addresses: {ja: 試行元のIPアドレスの数, en: IP addresses it came from, type: count}
  tried_from: {ja: 試行元のIPアドレス, en: Tried from, type: text, mask: ip}
runbook:
  ja:
    - ログインに成功したアカウントがあるかを確かめ、その未発送の注文を保留します。
    - 本人に連絡し、パスワードの再設定を案内します。乗っ取られていれば、取り戻すまで利用停止にします。
    - 会社や学校などの共有回線と分かる場合は「問題なし」を選びます。
  en:
    - See whether they got into an account, and hold its unshipped orders.
    - Write to its owner to set a new password; if the account was taken over, suspend it until it is back.
    - If it is plainly the shared line of an office or a school, choose "Not fraud".
false_positives:
  ja:
    - 会社・学校・携帯電話会社などの共有回線
    - ログイン障害で全員が失敗しているとき
  en:
    - The shared line of an office, a school or a mobile carrier
    - An outage of the log-in at which everybody fails
daily_cap: 100
*/
-- The log-ins of the last hour before what is new: an hour's, however long the history.
WITH recent AS MATERIALIZED (
    SELECT e.account_id, e.ip, e.occurred_at, e.kind = 'login' AS entered,
           e.occurred_at >= :changed_since AS is_new
      FROM account_events e
     WHERE e.kind IN ('login', 'login_failed') AND e.ip IS NOT NULL
       AND e.occurred_at > greatest(:changed_since, :window_start) - interval '1 hour'
       AND e.account_id <> ALL (:allow_accounts)
),
-- Few places and accounts are crowded at all; only those are looked at minute by minute.
crowded AS MATERIALIZED (
    SELECT r.ip AS place, NULL::text AS target, 'from ' || host(r.ip) AS what FROM recent r GROUP BY r.ip
    HAVING count(DISTINCT account_id) >= least(:accounts_minute, :accounts_hour)
     UNION ALL
    SELECT NULL, account_id, 'at ' || account_id FROM recent GROUP BY account_id
    HAVING count(DISTINCT ip) >= least(:addresses_minute, :addresses_hour)
),
seen AS MATERIALIZED (
    SELECT c.what, r.* FROM crowded c JOIN recent r ON r.ip = c.place
     UNION ALL
    SELECT c.what, r.* FROM crowded c JOIN recent r ON r.account_id = c.target
),
minutes AS MATERIALIZED (
    SELECT DISTINCT what, date_trunc('minute', occurred_at) + interval '1 minute' AS upto FROM seen WHERE is_new
),
counted AS MATERIALIZED (
    SELECT m.what, m.upto, max(s.occurred_at) AS latest,
           count(DISTINCT account_id) AS accounts_tried,
           count(DISTINCT account_id) FILTER (WHERE NOT entered) AS accounts_failed,
           count(DISTINCT account_id) FILTER (WHERE occurred_at >= upto - interval '1 minute') AS accounts_minute,
           count(DISTINCT ip) AS addresses,
           count(DISTINCT ip) FILTER (WHERE NOT entered) AS addresses_failed,
           count(DISTINCT ip) FILTER (WHERE occurred_at >= upto - interval '1 minute') AS addresses_minute
      FROM minutes m
      JOIN seen s ON s.what = m.what AND s.occurred_at >= m.upto - interval '1 hour' AND s.occurred_at < m.upto
     GROUP BY 1, 2
),
waves AS MATERIALIZED (
    SELECT DISTINCT ON (what, date_trunc('day', upto, 'UTC')) w.*, c.place, c.target
      FROM counted w JOIN crowded c USING (what)
     WHERE (c.place IS NOT NULL
            AND ((accounts_failed >= :accounts_hour AND 100 * accounts_failed >= :failed_share * accounts_tried)
              OR w.accounts_minute >= :accounts_minute))
        OR (c.target IS NOT NULL
            AND (addresses_failed >= :addresses_hour OR w.addresses_minute >= :addresses_minute))
     ORDER BY what, date_trunc('day', upto, 'UTC'), upto DESC
),
-- Whom the wave touched. Who had logged in from there before is at home there; the others were entered.
hit AS MATERIALIZED (
    SELECT w.what, w.upto, s.account_id, bool_or(NOT s.entered) AS failed,
           bool_or(s.entered AND NOT EXISTS (
             SELECT FROM account_events b
              WHERE b.account_id = s.account_id AND b.kind = 'login' AND b.ip = s.ip
                AND b.occurred_at < w.upto - interval '1 hour'
                AND b.occurred_at > w.upto - interval '90 days')) AS entered
      FROM waves w
      JOIN seen s ON s.what = w.what AND s.occurred_at >= w.upto - interval '1 hour' AND s.occurred_at < w.upto
     GROUP BY 1, 2, 3
),
named AS MATERIALIZED (
    SELECT h.what, h.upto,
           (array_agg(h.account_id ORDER BY h.entered DESC, h.failed DESC, a.created_at, h.account_id))[1] AS first,
           array_agg(h.account_id ORDER BY h.account_id) FILTER (WHERE h.entered) AS entered
      FROM hit h
      LEFT JOIN accounts a USING (account_id)
     GROUP BY 1, 2
)
-- One finding a place (or an account under fire) and day, about the latest minute: the oldest account that
-- was entered stands for all of them; those that were only tried stay out of it, for nothing happened to them.
SELECT n.first AS subject_id, w.latest AS occurred_at,
       to_char(w.upto AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' ' || left(md5(w.what), 12) AS window_key,
       array_prepend(n.first, n.entered[1:100]) AS account_ids,
       ARRAY(SELECT o.order_id FROM orders o
              WHERE o.buyer_id = ANY (n.entered) AND o.ordered_at > w.upto - interval '1 hour'
                AND o.status IN ('pending', 'paid') AND o.shipped_at IS NULL AND o.canceled_at IS NULL
              ORDER BY o.ordered_at DESC, o.order_id LIMIT 50) AS order_ids,
       w.accounts_tried, w.accounts_failed, coalesce(cardinality(n.entered), 0) AS accounts_entered,
       w.addresses, host(w.place) AS tried_from
  FROM waves w
  JOIN named n USING (what, upto)
