-- Every order of the shop. The local part of its e-mail address is the key of the reserve.
select
    code as booking,
    cast(event as char) as slot,
    seats,
    status,
    substring_index(email, '@', 1) as `key`
from orders
