-- Every order, with its product as the slot. The local part of its e-mail address is the key of the
-- reserve. The positions of an order that was cancelled stay.
select
    placed.code as booking,
    position.item_id::text as slot,
    count(*) as seats,
    placed.status,
    split_part(placed.email, '@', 1) as key
from pretixbase_order placed
join pretixbase_orderposition position on position.order_id = placed.id
group by placed.id, position.item_id
