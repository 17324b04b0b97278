/*
name: listing_copy
title:
  ja: 他の出品の無断転載の疑い
  en: Suspected copy of another listing
source: market
subject: listing
severity: P2
owner: fraud
schedule: {every: 120s}
window: 7d
overlap: 10m
mode: review
parameters:
  distance:
    default: 6
    ja: 画像の違い(64ビット中)がこの値以下なら一致とみなします
    en: Images that differ in this many of 64 bits or fewer count as the same
  likeness:
    default: 80
    ja: 題名と説明の一致がこの割合(%)以上なら転載とみなします
    en: Texts that are alike in this many per cent count as copied
  older:
    default: 7d
    ja: 元の出品がこの期間以上前のものであれば比べます
    en: Compares with listings that are older by this much
  young:
    default: 30d
    ja: 登録からこの期間内の販売者の出品を調べます
    en: Looks at listings of sellers younger than this
actions: [takedown, suspend]
evidence:
  original_listing: {ja: 元の出品, en: Original listing, type: text}
  image_distance: {ja: 画像の違い(64ビット中), en: Image differs in bits of 64, type: count}
  text_likeness: {ja: 文面の一致(%), en: Text alike in per cent, type: count}
  price_share: {ja: 元の価格に対する割合(%), en: Price in per cent of the original, type: count}
  registered_at: {ja: 販売者の登録日時, en: Seller signed up, type: time}
runbook:
  ja:
    - 元の出品と見比べ、写真や文面が同じかを管理画面で確かめます。
    - 転載とみられる場合は出品を非公開にします。ほかの出品も転載なら販売者を利用停止にします。
    - 同じキットや仕入れ先の写真など理由が分かる場合は「問題なし」を選びます。
  en:
    - Compare with the original in the back office, photographs and words.
    - If it is a copy, take the listing down; if the seller's other listings are copies too, suspend the seller.
    - If there is a plain reason, such as the same kit or a supplier's photograph, choose "Not fraud".
false_positives:
  ja:
    - 同じキットや材料を使った作品
    - 仕入れ先が提供する写真
    - 同じ人が持つ二つ目のショップ
  en:
    - Works made from the same kit
    - A supplier's photograph
    - A second shop of the same person
daily_cap: 100
*/
-- New or changed listings of young sellers: few, so that each can be held against all older ones.
WITH fresh AS MATERIALIZED (
    SELECT l.listing_id, l.seller_id, l.price, l.currency, l.image_hashes, l.created_at,
           lower(regexp_replace(concat(l.title, coalesce(l.description, '')), '\s+', '', 'g')) AS words,
           lower(regexp_replace(l.title, '\s+', '', 'g')) AS name, a.created_at AS registered_at
      FROM listings l
      JOIN accounts a ON a.account_id = l.seller_id
     WHERE l.updated_at >= :changed_since AND l.created_at >= :window_start AND l.status IN ('active', 'sold')
       AND a.created_at > l.created_at - :young AND a.status = 'active'
       AND l.seller_id <> ALL (:allow_accounts)
     ORDER BY l.created_at DESC LIMIT 300
),
-- By the picture: every older listing of somebody else that looks the same.
by_image AS MATERIALIZED (
    SELECT f.listing_id, o.listing_id AS original, o.price AS original_price, o.currency AS original_currency,
           o.created_at AS original_at,
           min(length(replace(((mine.hash # theirs.hash)::bit(64))::text, '0', ''))) AS distance
      FROM fresh f
     CROSS JOIN LATERAL unnest(f.image_hashes) AS mine(hash)
      JOIN listings o ON o.seller_id <> f.seller_id AND o.created_at <= f.created_at - :older
     CROSS JOIN LATERAL unnest(o.image_hashes) AS theirs(hash)
     WHERE length(replace(((mine.hash # theirs.hash)::bit(64))::text, '0', '')) <= :distance
     GROUP BY 1, 2, 3, 4, 5
),
-- By the words: an older listing of the same title, alike in what it says; short texts say nothing.
by_text AS MATERIALIZED (
    SELECT f.listing_id, o.listing_id AS original, o.price AS original_price, o.currency AS original_currency,
           o.created_at AS original_at, alike.share
      FROM fresh f
      JOIN listings o ON lower(regexp_replace(o.title, '\s+', '', 'g')) = f.name
       AND o.seller_id <> f.seller_id AND o.created_at <= f.created_at - :older
     CROSS JOIN LATERAL (
        SELECT 100 * count(*) FILTER (WHERE here AND there) / greatest(count(*), 1) AS share
          FROM (SELECT piece, bool_or(here) AS here, bool_or(NOT here) AS there
                  FROM (SELECT substring(f.words FROM n FOR 3) AS piece, true AS here
                          FROM generate_series(1, least(length(f.words), 500) - 2) AS n
                         UNION
                        SELECT substring(t.words FROM n FOR 3), false
                          FROM (SELECT lower(regexp_replace(concat(o.title, coalesce(o.description, '')),
                                                            '\s+', '', 'g')) AS words) AS t
                         CROSS JOIN LATERAL generate_series(1, least(length(t.words), 500) - 2) AS n) AS pieces
                 GROUP BY piece) AS merged
     ) AS alike
     WHERE length(f.words) >= 30 AND alike.share >= :likeness
),
copies AS (
    SELECT listing_id, original, original_price, original_currency, original_at, distance, NULL::bigint AS share
      FROM by_image
     UNION ALL
    SELECT listing_id, original, original_price, original_currency, original_at, NULL, share FROM by_text
),
paired AS (
    SELECT listing_id, original, original_price, original_currency, original_at,
           min(distance) AS distance, max(share) AS share
      FROM copies GROUP BY 1, 2, 3, 4, 5
)
-- One finding a listing, against the oldest of those that it looks like.
SELECT DISTINCT ON (f.listing_id)
       f.listing_id AS subject_id, f.created_at AS occurred_at, p.original AS window_key,
       ARRAY[f.seller_id] AS account_ids, ARRAY[f.listing_id] AS listing_ids,
       p.original AS original_listing, p.distance AS image_distance, p.share AS text_likeness,
       CASE WHEN p.original_currency = f.currency AND p.original_price > 0
            THEN 100 * f.price / p.original_price END AS price_share,
       f.registered_at
  FROM paired p
  JOIN fresh f USING (listing_id)
 ORDER BY f.listing_id, p.original_at, p.original
