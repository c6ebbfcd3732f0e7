-- Finds the users for whom phone numbers are verified.
--
-- Revision: 2
-- Called by: `store::inbound_messages::users_by_number`, for the job `process_message`.
-- Locks: nothing.
-- Returns: for each row of a verified number, in one of the given variants: the variant as stored,
--     the user, and the time since which the number is theirs. The newest row comes first.
create or replace function pigeonhole.users_by_number(number_variants text[])
returns table (phone_number text, user_id uuid, since timestamptz) language plpgsql stable as $$
#variable_conflict use_column
begin
    return query
    select numbers.phone_number::text, numbers.user_id, numbers.created_at::timestamptz
    from unnest(number_variants) as given(variant)
    cross join lateral (
        select * from user_phone_numbers known
        where known.phone_number = given.variant::varchar and known.verified
        offset 0 -- see planner_settings.sql
    ) as numbers
    order by numbers.created_at desc nulls last, numbers.id;
end $$;
