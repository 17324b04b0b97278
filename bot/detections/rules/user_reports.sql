/*
name: user_reports
title:
  ja: 複数の利用者から通報されたアカウント
  en: Account reported by several users
source: market
subject: account
severity: P2
owner: fraud
schedule: {every: 60s}
window: 7d
overlap: 5m
mode: review
parameters:
  reporters:
    default: 3
    ja: 期間内に通報した人がこの人数以上なら検知します(新しい人と不明な人は半分に数えます)
    en: Finds this many people who reported within the time; new and unknown ones count half
  within:
    default: 7d
    ja: この期間内の通報を数えます
    en: Counts the reports within this time
  young:
    default: 7d
    ja: 登録からこの期間内の通報者を、新しい人として扱います
    en: Reporters younger than this count as new
actions: [takedown, remove_posts, suspend]
evidence:
  reporters: {ja: 通報した人, en: People who reported, type: count}
  new_reporters: {ja: うち登録して間もない人・不明な人, en: Of them new or unknown, type: count}
  reports: {ja: 通報の件数, en: Reports, type: count}
  reasons: {ja: 通報の理由, en: Reasons given, type: text}
  registered_at: {ja: アカウントの登録日時, en: Account created, type: time}
runbook:
  ja:
    - 通報の理由と、通報された出品や投稿を管理画面で確かめます。
    - 偽物や誘導であれば出品を非公開にするか投稿を削除し、繰り返していれば利用停止にします。
    - 競争相手や仲間うちのいやがらせとみられる場合は「問題なし」を選びます。
  en:
    - Read the reasons, and look at the listings and posts that were reported, in the back office.
    - If they are counterfeit or lure, take the listings down or remove the posts; if it goes on, suspend the account.
    - If it looks like rivals or a clique that harasses somebody, choose "Not fraud".
false_positives:
  ja:
    - 競争相手や仲間うちで示し合わせた通報
    - 発送の遅れに不満をもつ購入者
    - 話題になった作品への勘違いの通報
  en:
    - Rivals or a clique who report by agreement
    - Buyers who are angry about a late shipment
    - A misunderstanding about a work that many people see
daily_cap: 100
*/
-- Whom the new reports are about: the account itself, or whose listing or post it is.
-- Of an order nobody knows which side is meant, unless it was one of the two who said so.
WITH fresh AS MATERIALIZED (
    SELECT subject_kind, subject_id, reporter_id, created_at
      FROM user_reports
     WHERE created_at >= :changed_since AND created_at >= :window_start
),
touched AS MATERIALIZED (
    SELECT account_id, min(created_at) AS since
      FROM (SELECT subject_id AS account_id, created_at FROM fresh WHERE subject_kind = 'account'
             UNION ALL
            SELECT l.seller_id, f.created_at FROM fresh f JOIN listings l ON l.listing_id = f.subject_id
             WHERE f.subject_kind = 'listing'
             UNION ALL
            SELECT p.account_id, f.created_at FROM fresh f JOIN posts p ON p.post_id = f.subject_id
             WHERE f.subject_kind = 'post'
             UNION ALL
            SELECT CASE f.reporter_id WHEN o.buyer_id THEN o.seller_id WHEN o.seller_id THEN o.buyer_id END,
                   f.created_at
              FROM fresh f JOIN orders o ON o.order_id = f.subject_id
             WHERE f.subject_kind = 'order') AS named
     WHERE account_id <> ALL (:allow_accounts)
     GROUP BY account_id
),
-- Every report within reach about these accounts; a few days of reports are few.
near AS MATERIALIZED (
    SELECT * FROM user_reports
     WHERE created_at > (SELECT min(since) FROM touched) - :within AND created_at <= :now
),
about AS MATERIALIZED (
    SELECT t.account_id, n.report_id, n.reporter_id, n.reason, n.created_at,
           NULL::text AS listing_id, NULL::text AS post_id, NULL::text AS order_id
      FROM touched t JOIN near n ON n.subject_kind = 'account' AND n.subject_id = t.account_id
     UNION ALL
    SELECT t.account_id, n.report_id, n.reporter_id, n.reason, n.created_at, l.listing_id, NULL, NULL
      FROM near n JOIN listings l ON l.listing_id = n.subject_id JOIN touched t ON t.account_id = l.seller_id
     WHERE n.subject_kind = 'listing'
     UNION ALL
    SELECT t.account_id, n.report_id, n.reporter_id, n.reason, n.created_at, NULL, p.post_id, NULL
      FROM near n JOIN posts p ON p.post_id = n.subject_id JOIN touched t ON t.account_id = p.account_id
     WHERE n.subject_kind = 'post'
     UNION ALL
    SELECT t.account_id, n.report_id, n.reporter_id, n.reason, n.created_at, NULL, NULL, o.order_id
      FROM near n JOIN orders o ON o.order_id = n.subject_id
      JOIN touched t ON t.account_id = CASE n.reporter_id WHEN o.buyer_id THEN o.seller_id
                                                          WHEN o.seller_id THEN o.buyer_id END
     WHERE n.subject_kind = 'order'
),
-- Who reports counts once a device: several accounts of one person are one person. Whoever is suspended
-- does not count, and all who are unknown are one.
heard AS MATERIALIZED (
    SELECT a.*, coalesce('d' || r.signup_device_id, 'a' || a.reporter_id, '') AS person,
           CASE WHEN r.created_at IS NULL AND r.account_id IS NOT NULL THEN 2
                WHEN r.created_at <= a.created_at - :young THEN 2 ELSE 1 END AS weight
      FROM about a
      LEFT JOIN accounts r ON r.account_id = a.reporter_id
     WHERE r.status IS DISTINCT FROM 'suspended' AND a.reporter_id IS DISTINCT FROM a.account_id
),
-- As of each report, looking back only.
counted AS MATERIALIZED (
    SELECT h.account_id, h.report_id, h.created_at, back.*
      FROM heard h
      JOIN touched t ON t.account_id = h.account_id AND h.created_at >= t.since
     CROSS JOIN LATERAL (
        SELECT count(*) AS reporters, sum(weight) AS weight, count(*) FILTER (WHERE weight = 1) AS new_reporters,
               sum(said) AS reports
          FROM (SELECT o.person, max(o.weight) AS weight, count(*) AS said
                  FROM heard o
                 WHERE o.account_id = h.account_id AND o.created_at > h.created_at - :within
                   AND o.created_at <= h.created_at
                 GROUP BY o.person) AS people
     ) AS back
)
-- One finding an account and day, about the latest report that is one too many.
SELECT DISTINCT ON (c.account_id, date_trunc('day', c.created_at, 'UTC'))
       c.account_id AS subject_id, c.created_at AS occurred_at,
       to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS window_key,
       ARRAY[c.account_id] AS account_ids,
       ARRAY(SELECT DISTINCT h.order_id FROM heard h
              WHERE h.account_id = c.account_id AND h.order_id IS NOT NULL ORDER BY 1 LIMIT 50) AS order_ids,
       ARRAY(SELECT DISTINCT h.listing_id FROM heard h
              WHERE h.account_id = c.account_id AND h.listing_id IS NOT NULL ORDER BY 1 LIMIT 50) AS listing_ids,
       ARRAY(SELECT DISTINCT h.post_id FROM heard h
              WHERE h.account_id = c.account_id AND h.post_id IS NOT NULL ORDER BY 1 LIMIT 50) AS post_ids,
       c.reporters, c.new_reporters, c.reports,
       ARRAY(SELECT left(h.reason, 40) FROM heard h
              WHERE h.account_id = c.account_id
              GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 3) AS reasons,
       a.created_at AS registered_at
  FROM counted c
  LEFT JOIN accounts a ON a.account_id = c.account_id
 WHERE c.weight >= 2 * :reporters AND a.status IS DISTINCT FROM 'suspended' AND a.status IS DISTINCT FROM 'closed'
 ORDER BY c.account_id, date_trunc('day', c.created_at, 'UTC'), c.created_at DESC, c.report_id
