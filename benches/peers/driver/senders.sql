-- A thousand users, each with one of the numbers that the load generator sends from, as the app
-- writes them.
insert into users (id) select md5(i::text)::uuid from generate_series(0, 999) i;
insert into user_phone_numbers (user_id, phone_number, encrypted_phone_number, verified)
select md5(i::text)::uuid, '+' || 15555552000 + i, repeat('x', 60), true
from generate_series(0, 999) i;
