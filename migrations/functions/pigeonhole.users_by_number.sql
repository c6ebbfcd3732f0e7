-- Finds the users for whom phone numbers are verified.
--
-- Revision: 1
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
    join user_phone_numbers numbers
        on numbers.phone_number = any(array[given.variant]::varchar[]) and numbers.verified
    order by numbers.created_at desc nulls last, numbers.id;
end $$;
