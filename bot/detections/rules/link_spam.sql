/*
name: link_spam
title:
  ja: 外部サイトへ誘導するメッセージの大量送信の疑い
  en: Suspected mass messages that lure to another site
source: market
subject: account
severity: P1
owner: fraud
schedule: {every: 30s}
window: 24h
overlap: 5m
mode: review
parameters:
  recipients:
    default: 10
    ja: 1時間に同じリンク先を送った相手がこの人数以上なら検知します
    en: Finds the same link host sent to this many people within an hour
  recipients_young:
    default: 5
    ja: 登録から間もないアカウントでは、この人数以上で検知します
    en: For young accounts this many people are enough
  young:
    default: 7d
    ja: 登録からこの期間内のアカウントを、間もないものとして扱います
    en: Accounts younger than this count as young
actions: [suspend, remove_posts]
evidence:
  link_host: {ja: リンク先, en: Link leads to, type: text}
  recipients_in_hour: {ja: 1時間の送信相手, en: People within an hour, type: count}
  customers: {ja: うち取引のある相手, en: Of them in trade with it, type: count}
  same_texts: {ja: 同じ文面の数, en: Same text, type: count}
  registered_at: {ja: アカウントの登録日時, en: Account created, type: time}
runbook:
  ja:
    - リンク先の名前を確かめます。リンクは開かないでください。
    - 誘導やフィッシングの疑いがあれば、アカウントを利用停止にし、投稿も削除します。
    - 販売者のお礼やお知らせで、リンク先が販売者自身のショップであれば「問題なし」を選びます。
  en:
    - Look at the name of the site. Please do not open the link.
    - If it lures or phishes, suspend the account and remove its posts along with it.
    - If it is a seller's thanks or news and the site is the seller's own shop, choose "Not fraud".
false_positives:
  ja:
    - 購入者へのお礼に自分のショップのリンクを添える販売者
    - イベントの主催者や運営からのお知らせ
  en:
    - A seller who adds the own shop's link to a thank-you
    - The organiser of an event, or the marketplace's own news
daily_cap: 100
*/
-- Accounts that posted a link just now; of a message only where it leads and whether it is the same text.
WITH touched AS MATERIALIZED (
    SELECT account_id, min(created_at) AS since
      FROM posts
     WHERE updated_at >= :changed_since AND created_at >= :window_start AND cardinality(urls) > 0
       AND account_id <> ALL (:allow_accounts)
     GROUP BY account_id
),
linked AS MATERIALIZED (
    SELECT p.account_id, p.post_id, p.kind, p.recipient_id, p.created_at,
           md5(regexp_replace(regexp_replace(lower(p.body), 'https?://\S+', '', 'g'), '\s+', '', 'g')) AS said,
           lower(substring(u.url FROM '^[A-Za-z+]+://(?:[^/?#@]*@)?([^/?#:]+)')) AS host
      FROM touched t
      JOIN posts p ON p.account_id = t.account_id AND p.created_at > t.since - interval '1 hour'
     CROSS JOIN LATERAL unnest(p.urls) AS u(url)
),
-- As of each message, looking back an hour; people who trade with the account expect to hear from it.
counted AS MATERIALIZED (
    SELECT m.account_id, m.post_id, m.created_at, m.host, near.*, a.created_at AS registered_at
      FROM (SELECT DISTINCT ON (account_id, post_id, host) * FROM linked
             WHERE kind IN ('message', 'comment') AND host <> ALL (:allow_hosts)
             ORDER BY account_id, post_id, host) AS m
      LEFT JOIN accounts a ON a.account_id = m.account_id
     CROSS JOIN LATERAL (
        SELECT count(DISTINCT o.recipient_id) AS recipients_in_hour,
               count(DISTINCT o.recipient_id) FILTER (WHERE EXISTS (
                 SELECT FROM orders b
                  WHERE b.ordered_at <= m.created_at
                    AND ((b.buyer_id = o.recipient_id AND b.seller_id = m.account_id)
                      OR (b.buyer_id = m.account_id AND b.seller_id = o.recipient_id)))) AS customers,
               count(DISTINCT o.post_id) FILTER (WHERE o.said = m.said) AS same_texts
          FROM linked o
         WHERE o.account_id = m.account_id AND o.host = m.host AND o.kind IN ('message', 'comment')
           AND o.created_at > m.created_at - interval '1 hour' AND o.created_at <= m.created_at
     ) AS near
     WHERE a.status IS DISTINCT FROM 'suspended' AND a.status IS DISTINCT FROM 'closed'
)
-- One finding an account, host and day, about the latest message that is too much.
SELECT DISTINCT ON (c.account_id, c.host, date_trunc('day', c.created_at, 'UTC'))
       c.account_id AS subject_id, c.created_at AS occurred_at,
       to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' ' || c.host AS window_key,
       ARRAY[c.account_id] AS account_ids,
       ARRAY(SELECT DISTINCT l.post_id FROM linked l
              WHERE l.account_id = c.account_id AND l.host = c.host ORDER BY 1 LIMIT 100)
         || ARRAY(SELECT p.post_id FROM posts p
                   WHERE p.account_id = c.account_id AND p.kind = 'profile'
                     AND NOT EXISTS (SELECT FROM linked l WHERE l.post_id = p.post_id AND l.host = c.host)
                     AND EXISTS (SELECT FROM unnest(p.urls) AS u(url) WHERE position(c.host IN lower(u.url)) > 0)
                   ORDER BY 1 LIMIT 5) AS post_ids,
       c.host AS link_host, c.recipients_in_hour, c.customers, c.same_texts, c.registered_at
  FROM counted c
 WHERE c.recipients_in_hour - c.customers >= :recipients
    OR (c.registered_at > c.created_at - :young
        AND c.recipients_in_hour - c.customers >= :recipients_young)
 ORDER BY c.account_id, c.host, date_trunc('day', c.created_at, 'UTC'), c.created_at DESC, c.post_id
