/*
name: ato_change_then_act
title:
  ja: アカウント乗っ取り後の注文・振込の疑い
  en: Suspected takeover of an account, followed by an order or a payout
source: market
subject: account
severity: P1
owner: fraud
schedule: {every: 30s}
window: 72h
overlap: 5m
mode: review
parameters:
  change_after:
    default: 24h
    ja: 見慣れない端末でのログインから、この期間内の登録情報の変更を調べます
    en: Looks at changes this long after a log-in on a device never seen before
  act_after:
    default: 24h
    ja: 変更からこの期間内の注文を調べます
    en: Looks at orders this long after the change
  payout_after:
    default: 72h
    ja: 振込先の変更からこの期間内の振込を調べます
    en: Looks at payouts this long after the payout account was changed
  times:
    default: 3
    ja: 本人の普段の注文額(平均)のこの倍数以上の注文を検知します
    en: Finds an order of this many times what the account usually spends
  reach:
    default: 180d
    ja: 普段の端末と注文額を、この期間から求めます
    en: How far back devices and amounts count as usual
  known_since:
    default: 7d
    ja: 登録からこの期間がたったアカウントを調べます
    en: Looks at accounts that are at least this old
actions: [hold, suspend]
evidence:
  changed:
    ja: 変更された項目
    en: What was changed
    type: text
    words:
      email_changed: {ja: メールアドレス, en: mail address}
      password_changed: {ja: パスワード, en: password}
      phone_changed: {ja: 電話番号, en: telephone number}
      address_changed: {ja: 住所, en: address}
      payout_changed: {ja: 振込先口座, en: payout account}
  act:
    ja: その後の操作
    en: What followed
    type: text
    words:
      order: {ja: 高額な注文, en: an unusually large order}
      payout: {ja: 新しい口座への振込, en: a payout to the new account}
  logged_in_at: {ja: 見慣れない端末でのログイン, en: Log-in on an unknown device, type: time}
  changed_at: {ja: 変更の日時, en: Changed at, type: time}
  act_amount: {ja: 注文・振込の金額, en: Amount of the order or payout, type: money}
  usual_amount: {ja: 普段の注文額(平均), en: Usual amount (mean), type: money}
  quiet_days: {ja: それまで使われていなかった日数, en: Days unused before, type: count}
runbook:
  ja:
    - 未発送の注文と振込を保留し、ログインの場所と変更された項目を確かめます。
    - 変更前の連絡先で本人に確認します。変更後のメールや電話には連絡しないでください。
    - 乗っ取りであれば利用停止にして取り戻します。機種変更や引っ越しと分かる場合は「問題なし」を選びます。
  en:
    - Hold unshipped orders and payouts, and look where the log-in came from and what was changed.
    - Ask the owner by the mail address or telephone from before the change, never by the new one.
    - If it was taken over, suspend it until its owner has it back; if it is a new telephone or a move, choose "Not fraud".
false_positives:
  ja:
    - 機種変更と同時にパスワードを変えた本人
    - 引っ越しに合わせて大きな買い物をした本人
    - 家族の端末からの利用
  en:
    - The owner, who bought a new telephone and set a new password
    - The owner, who has moved and buys more than usual
    - A device of the family
daily_cap: 100
*/
-- Accounts that logged in, changed something, ordered, or sold something whose payout was set.
WITH touched AS MATERIALIZED (
    SELECT account_id FROM account_events WHERE occurred_at >= :changed_since
     UNION SELECT buyer_id FROM orders WHERE updated_at >= :changed_since
     UNION SELECT seller_id FROM orders WHERE updated_at >= :changed_since AND payout_at IS NOT NULL
),
-- Whoever changed something lately; most touched accounts end here.
changes AS MATERIALIZED (
    SELECT e.account_id, e.event_id, e.kind, e.device_id, e.ip, e.occurred_at
      FROM touched t
      JOIN account_events e ON e.account_id = t.account_id
      JOIN accounts a ON a.account_id = e.account_id
     WHERE e.kind IN ('email_changed', 'password_changed', 'phone_changed', 'address_changed', 'payout_changed')
       AND e.occurred_at > :window_start - :payout_after AND e.occurred_at <= :now
       AND (a.created_at IS NULL OR a.created_at <= e.occurred_at - :known_since)
       AND a.status = 'active' AND e.account_id <> ALL (:allow_accounts)
),
-- The log-in (or the change itself) on a device, or without one from a network, that the account had not shown
-- before, while it had shown others.
intrusions AS MATERIALIZED (
    SELECT DISTINCT ON (c.event_id)
           c.account_id, c.event_id, c.kind, c.occurred_at AS changed_at, l.occurred_at AS logged_in_at,
           known.last_seen
      FROM changes c
      JOIN account_events l ON l.account_id = c.account_id
       AND l.occurred_at <= c.occurred_at AND l.occurred_at >= c.occurred_at - :change_after
       AND l.kind NOT IN ('login_failed', 'withdrawn')
     CROSS JOIN LATERAL (
        SELECT max(seen_at) AS last_seen,
               CASE WHEN l.device_id IS NOT NULL
                    THEN count(device_id) > 0 AND coalesce(bool_and(device_id <> l.device_id), false)
                    WHEN l.ip IS NOT NULL
                    THEN count(ip) > 0 AND coalesce(bool_and(
                           network(set_masklen(ip, CASE family(ip) WHEN 4 THEN 16 ELSE 32 END))
                           <> network(set_masklen(l.ip, CASE family(l.ip) WHEN 4 THEN 16 ELSE 32 END))), false)
               END AS is_stranger
          FROM (SELECT b.device_id, b.ip, b.occurred_at AS seen_at
                  FROM account_events b
                 WHERE b.account_id = l.account_id AND b.kind NOT IN ('login_failed', 'withdrawn')
                   AND b.occurred_at > l.occurred_at - :reach AND b.occurred_at < l.occurred_at
                 UNION ALL
                SELECT o.device_id, o.ip, o.ordered_at
                  FROM orders o
                 WHERE o.buyer_id = l.account_id
                   AND o.ordered_at > l.occurred_at - :reach AND o.ordered_at < l.occurred_at
                 UNION ALL
                SELECT a.signup_device_id, a.signup_ip, a.created_at
                  FROM accounts a WHERE a.account_id = l.account_id) AS before
     ) AS known
     WHERE known.is_stranger
     ORDER BY c.event_id, l.occurred_at DESC
),
-- What followed: an order far above the account's own, or money on its way to a payout account just changed.
acts AS MATERIALIZED (
    SELECT i.*, 'order' AS act, o.order_id, o.ordered_at AS acted_at, o.currency,
           o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS act_amount,
           usual.amount AS usual_amount
      FROM intrusions i
      JOIN orders o ON o.buyer_id = i.account_id
       AND o.ordered_at >= i.changed_at AND o.ordered_at <= i.changed_at + :act_after
     CROSS JOIN LATERAL (
        -- Half a year; of an account that slept longer, all that it bought before.
        SELECT coalesce(avg(spent) FILTER (WHERE b.ordered_at > i.logged_in_at - :reach), avg(spent))::bigint AS amount
          FROM orders b
         CROSS JOIN LATERAL (SELECT b.total_amount - coalesce(b.discount_amount, 0)
                                    - coalesce(b.points_amount, 0) AS spent) AS net
         WHERE b.buyer_id = i.account_id AND b.ordered_at < i.logged_in_at AND b.currency = o.currency
           AND b.paid_at IS NOT NULL
     ) AS usual
     WHERE o.status <> 'canceled'
       AND o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0)
           >= :times * nullif(usual.amount, 0)
     UNION ALL
    SELECT i.*, 'payout', o.order_id, greatest(i.changed_at, o.ordered_at), o.currency,
           o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0), NULL
      FROM intrusions i
      JOIN orders o ON o.seller_id = i.account_id
     WHERE i.kind = 'payout_changed' AND o.status <> 'canceled'
       AND o.payout_at > i.changed_at AND o.payout_at <= i.changed_at + :payout_after
       AND o.ordered_at > i.changed_at - :reach
)
-- One finding an account and day; of several acts the dearest.
SELECT DISTINCT ON (s.account_id, date_trunc('day', s.acted_at, 'UTC'))
       s.account_id AS subject_id, s.acted_at AS occurred_at, s.act_amount AS amount, s.currency,
       to_char(s.acted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS window_key,
       ARRAY[s.account_id] AS account_ids,
       ARRAY(SELECT x.order_id FROM acts x WHERE x.account_id = s.account_id
              GROUP BY x.order_id ORDER BY max(x.act_amount) DESC, x.order_id LIMIT 50) AS order_ids,
       ARRAY(SELECT DISTINCT x.kind FROM acts x WHERE x.account_id = s.account_id ORDER BY 1) AS changed,
       s.act, s.logged_in_at, s.changed_at, s.act_amount, s.usual_amount,
       floor(extract(epoch FROM s.logged_in_at - s.last_seen) / 86400)::integer AS quiet_days
  FROM acts s
 ORDER BY s.account_id, date_trunc('day', s.acted_at, 'UTC'), s.act_amount DESC, s.order_id, s.event_id
