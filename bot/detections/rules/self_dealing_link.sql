/*
name: self_dealing_link
title:
  ja: 自作自演による不正注文の疑い
  en: Suspected self-dealing
source: market
subject: order
severity: P1
owner: fraud
schedule: {every: 30s}
window: 7d
overlap: 5m
mode: review
parameters:
  weak_links:
    default: 2
    ja: 弱い一致(IPアドレス、登録時の情報など)だけの場合は、この件数以上で検知します
    en: Without a strong link, finds orders with this many weak ones
  lookback:
    default: 30d
    ja: 購入者と販売者の利用履歴をこの期間までさかのぼって比べます
    en: Compares what buyer and seller did up to this long before the order
  crowd:
    default: 20
    ja: 直前24時間に他の購入者の注文がこの件数を超えたネットワークは、一致とみなしません
    en: A network with more orders of others than this in the day before links nobody
actions: [hold, cancel]
evidence:
  matched_on:
    ja: 購入者と販売者で一致した項目
    en: Shared by buyer and seller
    type: text
    words:
      account: {ja: アカウント, en: account}
      card: {ja: カード, en: card}
      device: {ja: 端末, en: device}
      payout: {ja: 振込先口座, en: payout account}
      phone: {ja: 電話番号, en: phone number}
      address: {ja: 住所, en: address}
      ip: {ja: IPアドレス, en: IP address}
      signup: {ja: 登録時の端末またはIPアドレス, en: device or IP address at sign-up}
      created: {ja: 登録時期(24時間以内), en: time of sign-up (within 24 hours)}
      mail: {ja: メールアドレスの形, en: form of the mail address}
  shared_ip: {ja: 一致したIPアドレス, en: Shared IP address, type: text, mask: ip}
  buyer_since: {ja: 購入者の登録日時, en: Buyer signed up, type: time}
  seller_since: {ja: 販売者の登録日時, en: Seller signed up, type: time}
runbook:
  ja:
    - 発送と振込を保留し、同じ販売者の他の注文も確認します。
    - 作品画像の無断転載がないか、購入者と販売者の登録情報が似ていないかを管理画面で確かめます。
    - 自作自演の疑いが残る場合は、注文を強制キャンセルし、購入者と販売者を利用停止にします。
  en:
    - Hold shipment and payout, and look at the seller's other orders as well.
    - See in the back office whether listing photos are copies and whether both registrations resemble each other.
    - If self-dealing remains likely, force-cancel the orders and suspend buyer and seller.
false_positives:
  ja:
    - 家族や同じ工房のメンバーからの購入
    - 販売者本人による動作確認のための購入
    - 手渡しのため、販売者の住所を届け先にした注文
  en:
    - A purchase by family or by somebody of the same studio
    - A seller who tries out their own shop
    - An order to be handed over, with the seller's address as ship-to
daily_cap: 200
*/
-- Accounts of which something new is known: each may turn an earlier order into a linked one.
WITH moved AS MATERIALIZED (
    SELECT buyer_id AS account_id FROM orders WHERE updated_at >= :changed_since
     UNION
    SELECT account_id FROM accounts WHERE updated_at >= :changed_since
     UNION
    SELECT account_id FROM payment_attempts WHERE attempted_at >= :changed_since
     UNION
    SELECT account_id FROM account_events
     WHERE occurred_at >= :changed_since AND (device_id IS NOT NULL OR ip IS NOT NULL)
),
candidates AS MATERIALIZED (
    SELECT o.order_id, o.buyer_id, o.seller_id, o.ordered_at, o.currency, o.ip,
           o.ship_postal_code, o.ship_address,
           o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount
      FROM (SELECT order_id FROM orders
             WHERE updated_at >= :changed_since AND ordered_at >= :window_start
             UNION
            SELECT a.order_id FROM moved m
              JOIN orders a ON a.buyer_id = m.account_id AND a.ordered_at >= :window_start
             UNION
            SELECT a.order_id FROM moved m
              JOIN orders a ON a.seller_id = m.account_id AND a.ordered_at >= :window_start
           ) AS near
      JOIN orders o ON o.order_id = near.order_id
     WHERE o.status <> 'canceled'
       AND o.buyer_id <> ALL (:allow_accounts) AND o.seller_id <> ALL (:allow_accounts)
),
-- Each order with what its two parties have shown of themselves.
shown AS MATERIALIZED (
    SELECT c.order_id, c.ordered_at, c.amount, c.currency, c.buyer_id, c.seller_id, c.ip,
           b.created_at AS buyer_since, s.created_at AS seller_since,
           c.buyer_id = c.seller_id AS same_account,
           mine.cards && theirs.cards AS same_card,
           mine.devices && (theirs.devices || s.signup_device_id) AS same_device,
           b.payout_account_hash = s.payout_account_hash AS same_payout,
           bought.phone = sold.phone AND length(sold.phone) >= 9 AS same_phone,
           -- An address without a number names a town, not a home.
           normalize(s.address, NFKC) ~ '[0-9]'
               AND (bought.ship_to = sold.address OR bought.address = sold.address)
               AS same_address,
           c.ip IS NOT NULL AND EXISTS (
               SELECT FROM unnest(theirs.ips || s.signup_ip) AS seen(ip)
                WHERE seen.ip BETWEEN net.first_ip AND net.last_ip) AS same_network,
           b.signup_device_id = ANY (theirs.devices || s.signup_device_id)
               OR host(b.signup_ip) = host(s.signup_ip) AS same_signup,
           b.created_at BETWEEN s.created_at - interval '24 hours'
                            AND s.created_at + interval '24 hours' AS same_time,
           -- Without numbers and tags; a short one is a common name.
           bought.mail = sold.mail AND length(sold.mail) >= 8 AS same_mail,
           net.first_ip, net.last_ip
      FROM candidates c
      -- One look-up each: the planner, which cannot tell how few the candidates are, would read all accounts.
      LEFT JOIN LATERAL (
        SELECT created_at, phone, email, postal_code, address,
               signup_ip, signup_device_id, payout_account_hash
          FROM accounts WHERE account_id = c.buyer_id LIMIT 1) AS b ON true
      LEFT JOIN LATERAL (
        SELECT created_at, phone, email, postal_code, address,
               signup_ip, signup_device_id, payout_account_hash
          FROM accounts WHERE account_id = c.seller_id LIMIT 1) AS s ON true
     CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT card) FILTER (WHERE card <> ALL (:allow_cards)) AS cards,
               array_agg(DISTINCT device) FILTER (WHERE device IS NOT NULL) AS devices
          FROM (SELECT card_fingerprint AS card, device_id AS device FROM orders
                 WHERE buyer_id = c.buyer_id AND ordered_at > c.ordered_at - :lookback
                 UNION ALL
                SELECT card_fingerprint, device_id FROM payment_attempts
                 WHERE account_id = c.buyer_id AND attempted_at > c.ordered_at - :lookback
                 UNION ALL
                SELECT NULL, device_id FROM account_events
                 WHERE account_id = c.buyer_id AND occurred_at > c.ordered_at - :lookback) AS acts
     ) AS mine
     CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT card) FILTER (WHERE card IS NOT NULL) AS cards,
               array_agg(DISTINCT device) FILTER (WHERE device IS NOT NULL) AS devices,
               array_agg(DISTINCT ip) FILTER (WHERE ip IS NOT NULL) AS ips
          FROM (SELECT card_fingerprint AS card, device_id AS device, ip FROM orders
                 WHERE buyer_id = c.seller_id AND ordered_at > c.ordered_at - :lookback
                 UNION ALL
                SELECT card_fingerprint, device_id, ip FROM payment_attempts
                 WHERE account_id = c.seller_id AND attempted_at > c.ordered_at - :lookback
                 UNION ALL
                SELECT NULL, device_id, ip FROM account_events
                 WHERE account_id = c.seller_id AND occurred_at > c.ordered_at - :lookback) AS acts
     ) AS theirs
     -- Numbers and addresses as people mean them, however they are written.
     CROSS JOIN LATERAL (
        SELECT regexp_replace(regexp_replace(normalize(b.phone, NFKC), '[^0-9]', '', 'g'), '^81', '0') AS phone,
               regexp_replace(split_part(split_part(lower(b.email), '@', 1), '+', 1), '[^a-z]', '', 'g') AS mail,
               lower(regexp_replace(normalize(concat(c.ship_postal_code, c.ship_address), NFKC),
                                    '[-\s‐‑–—―−ー,.、・]|丁目|番地?|号', '', 'g')) AS ship_to,
               lower(regexp_replace(normalize(concat(b.postal_code, b.address), NFKC),
                                    '[-\s‐‑–—―−ー,.、・]|丁目|番地?|号', '', 'g')) AS address
     ) AS bought
     CROSS JOIN LATERAL (
        SELECT regexp_replace(regexp_replace(normalize(s.phone, NFKC), '[^0-9]', '', 'g'), '^81', '0') AS phone,
               regexp_replace(split_part(split_part(lower(s.email), '@', 1), '+', 1), '[^a-z]', '', 'g') AS mail,
               lower(regexp_replace(normalize(concat(s.postal_code, s.address), NFKC),
                                    '[-\s‐‑–—―−ー,.、・]|丁目|番地?|号', '', 'g')) AS address
     ) AS sold
     CROSS JOIN LATERAL (
        SELECT inet(network(wide.ip)) AS first_ip,
               set_masklen(broadcast(wide.ip), CASE family(c.ip) WHEN 4 THEN 32 ELSE 128 END) AS last_ip
          FROM (SELECT set_masklen(c.ip, CASE family(c.ip) WHEN 4 THEN 24 ELSE 48 END) AS ip) AS wide
     ) AS net
),
linked AS (
    SELECT order_id, ordered_at, amount, currency, buyer_id, seller_id, ip, buyer_since, seller_since,
           array_remove(ARRAY[
               CASE WHEN same_account THEN 'account' END,
               CASE WHEN same_card THEN 'card' END,
               CASE WHEN same_device THEN 'device' END,
               CASE WHEN same_payout THEN 'payout' END,
               CASE WHEN same_phone THEN 'phone' END,
               CASE WHEN same_address THEN 'address' END], NULL) AS strong,
           array_remove(ARRAY[
               CASE WHEN same_network AND NOT crowded.is_so THEN 'ip' END,
               CASE WHEN same_signup THEN 'signup' END,
               CASE WHEN same_time THEN 'created' END,
               CASE WHEN same_mail THEN 'mail' END], NULL) AS weak
      FROM shown
     -- An office or a carrier: too many others come from there.
     CROSS JOIN LATERAL (
        SELECT same_network AND count(*) > :crowd AS is_so
          FROM (SELECT FROM orders
                 WHERE same_network AND ip BETWEEN first_ip AND last_ip
                   AND ordered_at > shown.ordered_at - interval '24 hours'
                   AND ordered_at <= shown.ordered_at
                   AND buyer_id <> shown.buyer_id AND buyer_id <> shown.seller_id
                 LIMIT :crowd + 1) AS others
     ) AS crowded
)
SELECT order_id AS subject_id, ordered_at AS occurred_at, amount, currency,
       ARRAY[buyer_id, seller_id] AS account_ids,
       strong || weak AS matched_on,
       CASE WHEN 'ip' = ANY (weak) THEN host(ip) END AS shared_ip,
       buyer_since, seller_since
  FROM linked
 WHERE cardinality(strong) >= 1 OR cardinality(weak) >= :weak_links
 ORDER BY ordered_at DESC, order_id
