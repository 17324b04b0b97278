/*
name: banned_link
title:
  ja: 利用停止になった人物の新しいアカウントの疑い
  en: Suspected new account of somebody who was suspended
source: market
subject: account
severity: P1
owner: fraud
schedule: {every: 60s}
window: 30d
overlap: 10m
mode: review
parameters:
  reach:
    default: 180d
    ja: この期間内の登録・利用停止・注文を対象にします
    en: How far back suspensions, cards and devices count
actions: [hold, suspend]
evidence:
  matched_on:
    ja: 一致した項目
    en: Matched on
    type: text
    words:
      card: {ja: カード, en: card}
      device: {ja: 端末, en: device}
      payout: {ja: 振込先口座, en: payout account}
  banned_account: {ja: 利用停止中のアカウント, en: Suspended account, type: text}
  suspended_at: {ja: 利用停止の日時, en: Suspended, type: time}
  registered_at: {ja: 新しいアカウントの登録日時, en: New account created, type: time}
runbook:
  ja:
    - 利用停止中のアカウントのケースを開き、停止の理由を確かめます。
    - 未発送の注文を保留し、同一人物とみられる場合は利用停止にします。
    - 家族など別の人物と分かる場合は「問題なし」を選びます。
  en:
    - Open the suspended account's case and see why it was suspended.
    - Hold the unshipped orders; if it is the same person, suspend the account.
    - If it is plainly somebody else, such as family, choose "Not fraud".
false_positives:
  ja:
    - 同じ端末やカードを使う家族
    - 利用停止を解除された本人
  en:
    - Family with the same device or card
    - Somebody whose suspension was lifted
daily_cap: 100
*/
-- New accounts that changed, ordered or tried to pay; all new ones where somebody was
-- suspended, or where a suspended account shows something new.
-- The network alone never gives a person away, and a telephone number is not looked for: it has no index.
WITH touched AS MATERIALIZED (
    SELECT account_id FROM accounts WHERE updated_at >= :changed_since
     UNION SELECT buyer_id FROM orders WHERE updated_at >= :changed_since
     UNION SELECT account_id FROM payment_attempts WHERE attempted_at >= :changed_since
     UNION SELECT account_id FROM accounts
            WHERE created_at >= :window_start
              AND ((SELECT EXISTS (SELECT FROM accounts
                                    WHERE updated_at >= :changed_since AND status = 'suspended'))
                OR (SELECT EXISTS (SELECT FROM orders o JOIN accounts b ON b.account_id = o.buyer_id
                                    WHERE o.updated_at >= :changed_since AND b.status = 'suspended'))
                OR (SELECT EXISTS (SELECT FROM payment_attempts p JOIN accounts b USING (account_id)
                                    WHERE p.attempted_at >= :changed_since AND b.status = 'suspended')))
),
fresh AS MATERIALIZED (
    SELECT a.account_id, a.created_at, a.signup_device_id, a.payout_account_hash
      FROM touched t JOIN accounts a USING (account_id)
     WHERE a.status = 'active' AND a.created_at >= :window_start
       AND a.account_id <> ALL (:allow_accounts)
),
traits AS MATERIALIZED (
    SELECT account_id, 'device' AS trait, signup_device_id AS value FROM fresh WHERE signup_device_id IS NOT NULL
     UNION SELECT account_id, 'payout', payout_account_hash FROM fresh WHERE payout_account_hash IS NOT NULL
     UNION SELECT f.account_id, 'device', o.device_id FROM fresh f JOIN orders o ON o.buyer_id = f.account_id
            WHERE o.device_id IS NOT NULL
     UNION SELECT f.account_id, 'card', o.card_fingerprint FROM fresh f JOIN orders o ON o.buyer_id = f.account_id
            WHERE o.card_fingerprint <> ALL (:allow_cards)
     UNION SELECT f.account_id, 'card', p.card_fingerprint
             FROM fresh f JOIN payment_attempts p ON p.account_id = f.account_id
            WHERE p.card_fingerprint <> ALL (:allow_cards)
     UNION SELECT f.account_id, 'device', p.device_id
             FROM fresh f JOIN payment_attempts p ON p.account_id = f.account_id
            WHERE p.device_id IS NOT NULL
),
-- Whoever else showed the same, looked up from the trait's side.
sharing AS MATERIALIZED (
    SELECT t.account_id, t.trait, b.account_id AS other
      FROM traits t JOIN accounts b ON b.signup_device_id = t.value WHERE t.trait = 'device'
     UNION SELECT t.account_id, t.trait, b.account_id
             FROM traits t JOIN accounts b ON b.payout_account_hash = t.value WHERE t.trait = 'payout'
     UNION SELECT t.account_id, t.trait, o.buyer_id
             FROM traits t JOIN orders o ON o.device_id = t.value AND o.ordered_at > :now - :reach
            WHERE t.trait = 'device'
     UNION SELECT t.account_id, t.trait, p.account_id
             FROM traits t JOIN payment_attempts p ON p.device_id = t.value AND p.attempted_at > :now - :reach
            WHERE t.trait = 'device'
     UNION SELECT t.account_id, t.trait, o.buyer_id
             FROM traits t JOIN orders o ON o.card_fingerprint = t.value AND o.ordered_at > :now - :reach
            WHERE t.trait = 'card'
     UNION SELECT t.account_id, t.trait, p.account_id
             FROM traits t JOIN payment_attempts p ON p.card_fingerprint = t.value
              AND p.attempted_at > :now - :reach
            WHERE t.trait = 'card'
),
matched AS MATERIALIZED (
    SELECT f.account_id, f.created_at, b.account_id AS banned_account, b.suspended_at,
           array_agg(DISTINCT s.trait ORDER BY s.trait) AS traits
      FROM sharing s
      JOIN fresh f ON f.account_id = s.account_id
      JOIN accounts b ON b.account_id = s.other
     WHERE b.status = 'suspended' AND b.suspended_at > :now - :reach
       -- Made after the other one, so that the victim of a stolen card is not found.
       AND f.created_at > coalesce(b.created_at, '-infinity')
     GROUP BY f.account_id, f.created_at, b.account_id, b.suspended_at
)
-- One finding a pair of accounts; of several the one with the most in common.
SELECT DISTINCT ON (m.account_id)
       m.account_id AS subject_id, greatest(m.created_at, m.suspended_at) AS occurred_at,
       m.banned_account AS window_key,
       ARRAY[m.account_id] AS account_ids,
       ARRAY(SELECT o.order_id FROM orders o
              WHERE (o.buyer_id = m.account_id OR o.seller_id = m.account_id)
                AND o.status IN ('pending', 'paid') AND o.shipped_at IS NULL AND o.canceled_at IS NULL
              ORDER BY o.total_amount DESC, o.order_id LIMIT 50) AS order_ids,
       m.traits AS matched_on, m.banned_account, m.suspended_at,
       m.created_at AS registered_at
  FROM matched m
 ORDER BY m.account_id, cardinality(m.traits) DESC, m.suspended_at DESC, m.banned_account
