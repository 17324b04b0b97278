/*
name: card_testing
title:
  ja: カードの有効性確認(カードテスト)の疑い
  en: Suspected card testing
source: market
subject: account
severity: P1
owner: fraud
schedule: {every: 30s}
window: 24h
overlap: 5m
mode: review
parameters:
  account_declines:
    default: 5
    ja: 120分間に拒否された決済が1アカウントでこの件数以上なら検知します
    en: Finds this many declined payments of one account within 120 minutes
  shared_declines:
    default: 5
    ja: 1時間に拒否された決済が1つのIPアドレスか端末でこの件数以上なら検知します
    en: Finds this many declined payments of one IP address or device within an hour
  cards:
    default: 2
    ja: 試されたカードがこの枚数以上の場合に限ります
    en: Only where at least this many cards were tried
  outage_share:
    default: 60
    ja: サイト全体の拒否率がこの割合(%)以上なら決済側の障害とみなします
    en: Takes it for an outage where this many per cent are declined all over the site
  outage_tries:
    default: 30
    ja: 障害とみなすのに必要な、別々のアカウントの決済件数
    en: Tries by different accounts that an outage needs
actions: [hold, suspend]
evidence:
  declined: {ja: 拒否された決済, en: Declined payments, type: count}
  cards_tried: {ja: 試されたカード, en: Cards tried, type: count}
  approved: {ja: 承認された決済, en: Approved payments, type: count}
  accounts_beside: {ja: 同じIPアドレス・端末のアカウント, en: Accounts on the same IP address or device, type: count}
  shared_ip: {ja: IPアドレス, en: IP address, type: text, mask: ip}
  registered_at: {ja: アカウントの登録日時, en: Account created, type: time}
runbook:
  ja:
    - 少額の決済が短時間に続けて拒否されていないかを管理画面で確かめます。
    - 承認された注文があれば発送と振込を保留し、アカウントを利用停止にします。
    - 有効期限切れなどで本人が払い直している場合は「問題なし」を選びます。
  en:
    - See in the back office whether small payments were declined one after the other.
    - Hold the orders that went through, and suspend the account.
    - If somebody merely paid again after a card had expired, choose "Not fraud".
false_positives:
  ja:
    - 携帯電話会社の共有IPアドレスを使う多数の購入者
    - 有効期限切れや入力間違いで払い直した購入者
    - 決済サービスの障害
  en:
    - Many buyers behind one address of a mobile carrier
    - A buyer who paid again after a card had expired or a code was mistyped
    - An outage of the payment provider
daily_cap: 200
*/
WITH new AS MATERIALIZED (
    SELECT account_id, ip, device_id, attempted_at
      FROM payment_attempts
     WHERE attempted_at >= :changed_since AND attempted_at >= :window_start AND result = 'declined'
       AND account_id <> ALL (:allow_accounts)
),
-- As of each declined try, looking back only: what the account did, and what came from its place.
judged AS MATERIALIZED (
    SELECT n.account_id, n.ip, n.device_id, n.attempted_at, own.declined AS own_declined, own.cards AS own_cards,
           own.approved, beside.declined AS beside_declined, beside.cards AS beside_cards,
           beside.accounts AS beside_accounts
      FROM (SELECT DISTINCT account_id, ip, device_id, attempted_at FROM new) AS n
     CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE result = 'declined') AS declined,
               count(DISTINCT card_fingerprint) FILTER (WHERE result = 'declined') AS cards,
               count(*) FILTER (WHERE result = 'approved') AS approved
          FROM payment_attempts p
         WHERE p.account_id = n.account_id
           AND p.attempted_at > n.attempted_at - interval '120 minutes' AND p.attempted_at <= n.attempted_at
     ) AS own
     CROSS JOIN LATERAL (
        SELECT max(declined) AS declined, max(cards) AS cards, max(accounts) AS accounts
          FROM (SELECT count(*) AS declined, count(DISTINCT card_fingerprint) AS cards,
                       count(DISTINCT account_id) AS accounts
                  FROM payment_attempts p
                 WHERE p.ip = n.ip AND p.result = 'declined'
                   AND p.attempted_at > n.attempted_at - interval '1 hour' AND p.attempted_at <= n.attempted_at
                 UNION ALL
                SELECT count(*), count(DISTINCT card_fingerprint), count(DISTINCT account_id)
                  FROM payment_attempts p
                 WHERE p.device_id = n.device_id AND p.result = 'declined'
                   AND p.attempted_at > n.attempted_at - interval '1 hour' AND p.attempted_at <= n.attempted_at
               ) AS places
     ) AS beside
),
-- Of those who share a place: a carrier's address shows many people with one declined try each.
suspects AS (
    SELECT j.*, a.created_at AS registered_at
      FROM judged j
      LEFT JOIN accounts a ON a.account_id = j.account_id
     WHERE (j.own_declined >= :account_declines AND j.own_cards >= :cards)
        OR (j.beside_declined >= :shared_declines AND j.beside_cards >= :cards
            AND j.beside_declined >= 2 * j.beside_accounts)
)
-- One finding an account and day, about its latest try.
SELECT DISTINCT ON (s.account_id, date_trunc('day', s.attempted_at, 'UTC'))
       s.account_id AS subject_id, s.attempted_at AS occurred_at,
       to_char(s.attempted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS window_key,
       -- Whoever tried on the same device in that hour is the same robot; a network says too little.
       ARRAY(SELECT s.account_id UNION
             SELECT p.account_id FROM payment_attempts p
              WHERE p.device_id = s.device_id AND p.result = 'declined'
                AND p.attempted_at > s.attempted_at - interval '1 hour' AND p.attempted_at <= s.attempted_at
              ORDER BY 1 LIMIT 20) AS account_ids,
       ARRAY(SELECT o.order_id FROM orders o
              WHERE o.buyer_id = s.account_id AND o.ordered_at > s.attempted_at - interval '120 minutes'
                AND o.status IN ('pending', 'paid') AND o.canceled_at IS NULL
              ORDER BY o.ordered_at DESC, o.order_id LIMIT 20) AS order_ids,
       greatest(s.own_declined, s.beside_declined) AS declined,
       greatest(s.own_cards, s.beside_cards) AS cards_tried, s.approved,
       s.beside_accounts AS accounts_beside, host(s.ip) AS shared_ip, s.registered_at
  FROM suspects s
 -- Declined all over the site is the payment provider's trouble.
 CROSS JOIN LATERAL (
    SELECT count(DISTINCT account_id) AS accounts,
           100 * count(DISTINCT account_id) FILTER (WHERE result <> 'approved')
               / greatest(count(DISTINCT account_id), 1) AS share
      FROM payment_attempts p
     WHERE p.attempted_at > s.attempted_at - interval '1 hour' AND p.attempted_at <= s.attempted_at
 ) AS site
 WHERE NOT (site.accounts >= :outage_tries AND site.share >= :outage_share)
 ORDER BY s.account_id, date_trunc('day', s.attempted_at, 'UTC'), s.attempted_at DESC
