-- What lib/cells makes its query of: DuckDB macros that read texts as numbers, times and names. A macro that reads a text
-- gives null where the text is no such value. `docs/cleaning.md` says which forms are known.

-- Blanks and encodings

-- Characters of no width, blanks of other kinds than the plain one, blanks at an end, several in a row.
create or replace temp macro has_needless_blanks(text) as regexp_matches(text,
    '[\x00-\x1f\x{a0}\x{1680}\x{2000}-\x{200b}\x{202f}\x{205f}\x{2060}\x{3000}\x{feff}]|^ | $|  ');

-- Signs of UTF-8 that was decoded as Windows-1252 or Latin-1: a letter from Â to ô before one of those that stand for the
-- bytes 80 to BF, or a control character. Whether it was, ftfy decides.
create or replace temp macro has_mojibake(text) as regexp_matches(text,
    '[\x{c2}-\x{f4}][\x{80}-\x{bf}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|[\x{80}-\x{9f}]');

-- Entities of HTML: &amp; &#39; &#xE9;
create or replace temp macro has_entity(text) as case when contains(text, '&')
    then regexp_matches(text, '&(#\d+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]+);') else false end;

-- PostgreSQL stores no NUL characters.
create or replace temp macro without_nul(text) as replace(text, chr(0), '');

create or replace temp macro without_blanks_around(text) as regexp_replace(without_nul(text),
    '^[ \t\r\n\x0b\f\x{a0}\x{1680}\x{2000}-\x{200b}\x{202f}\x{205f}\x{2060}\x{3000}\x{feff}]+'
    || '|[ \t\r\n\x0b\f\x{a0}\x{1680}\x{2000}-\x{200b}\x{202f}\x{205f}\x{2060}\x{3000}\x{feff}]+$',
    '', 'g');

create or replace temp macro with_single_blanks(text) as without_blanks_around(regexp_replace(
    regexp_replace(without_nul(text), '[\x{200b}\x{2060}\x{feff}]+', '', 'g'),
    '[\t\x0b\f \x{a0}\x{1680}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}]+', ' ', 'g'));

-- Error texts of spreadsheets, in the languages that translate them: no value.
create or replace temp macro has_error(text) as case when starts_with(text, '#') then regexp_matches(text,
    '^#(N/?A|N/D|NV|NAME\?|NOM\?|NULL!|NUL!|NUM!|NOMBRE!|ZAHL!|REF!|BEZUG!|VALUE!|VALEUR!|VALOR!|WERT!|DIV/0!)$')
    else false end;

create or replace temp macro without_error(text) as case when has_error(text) then null else text end;

-- A spreadsheet's signs of text before and around a code: '00501 and ="00501".
create or replace temp macro has_text_mark(text) as case when starts_with(text, '''') or starts_with(text, '="')
    then regexp_matches(text, '^(''[^'']|="[^"]*"$)') else false end;

create or replace temp macro without_text_mark(text) as case
    when not has_text_mark(text) then text
    when starts_with(text, '="') then regexp_extract(text, '^="([^"]*)"$', 1) else substr(text, 2)
end;

-- An id that a spreadsheet took for a number and rounded: 4,711E+12.
create or replace temp macro is_damaged_id(text) as case when contains(text, '+')
    then regexp_matches(text, '^\d+([.,]\d+)?[eE]\+\d+$') else false end;

-- Names and codes

-- A name in capitals or in small letters alone gets one capital a word. A word ends at a blank, a hyphen or the
-- apostrophe after a single letter (O'Brien); two capitals may be initials or a number (JJ, VI).
create or replace temp macro with_capitals(name) as case
    when (name = upper(name) and regexp_matches(name, '(\p{L}.*){3}'))
        or (name = lower(name) and regexp_matches(name, '(\p{L}.*){2}'))
    then array_to_string(list_transform(
        regexp_extract_all(name, '[ -]+|\p{L}[''’]|[^ -]+'), lambda word: upper(word[1]) || lower(word[2:])
    ), '')
    else name
end;

create or replace temp macro is_email(text) as regexp_matches(text, '^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$');

create or replace temp macro yes_or_no(text) as case
    when lower(text) in ('true', 't', 'yes', 'y', '1') then true
    when lower(text) in ('false', 'f', 'no', 'n', '0') then false
end;

-- Numbers

-- A cast alone would round 1.5 to 2.
-- No-break, figure, thin and narrow blanks between thousands, curly apostrophes and the typographer's minus, as a keyboard
-- has them.
create or replace temp macro with_plain_signs(text) as translate(text,
    ' ' || chr(160) || chr(8199) || chr(8201) || chr(8239) || '’‘−', '     ''''-');

-- A number without the currency before or after it; `currency` is the pattern of its signs and codes.
create or replace temp macro without_currency(text, currency) as regexp_replace(
    regexp_replace(text, '(?i)^([-+(]?) ?(?:' || currency || ') ?', '\1'),
    '(?i) ?(?:' || currency || ')([-)]?)$', '\1');

create or replace temp macro number_parts(text) as regexp_extract(text,
    '^([-+(]?) ?(\d[\d .,'']*|[.,]\d+)([-)]?)$', ['head', 'digits', 'tail']);

-- Digits with a decimal point alone, where their form leaves one reading. A point or comma before exactly three digits
-- separates decimals or thousands: then what the source declares decides.
create or replace temp macro plain_digits(digits, decimal_mark, thousands_mark) as case
    -- 12.50 is no number where the point separates thousands.
    when thousands_mark <> '' and contains(digits, thousands_mark) and not contains(digits, decimal_mark)
        and not regexp_matches(digits, '^\d{1,3}([., '']\d{3})+$') then null
    when regexp_matches(digits, '^[1-9]\d{0,2}[.,]\d{3}$') then case regexp_extract(digits, '[.,]')
        when decimal_mark then replace(digits, ',', '.')
        when thousands_mark then translate(digits, '.,', '')
    end
    when regexp_matches(digits, '^\d+$') then digits
    when regexp_matches(digits, '^(\d*|\d{1,3}((,\d{3})+|( \d{3})+|(''\d{3})+))\.\d+$') then translate(digits, ' ,''', '')
    when regexp_matches(digits, '^(\d*|\d{1,3}((\.\d{3})+|( \d{3})+|(''\d{3})+)),\d+$')
        then replace(translate(digits, ' .''', ''), ',', '.')
    when regexp_matches(digits, '^\d{1,3}((,\d{3}){2,}|(\.\d{3}){2,}|( \d{3})+|(''\d{3})+)$')
        then translate(digits, ' .,''', '')
end;

-- A number from its parts, as SQL writes it; a minus after it, or brackets around it, make it negative.
create or replace temp macro plain_number(parts, decimal_mark, thousands_mark) as case
    when (parts['head'] || parts['tail']) in ('', '-', '+', '()')
    then case when parts['head'] = '-' or parts['tail'] <> '' then '-' else '' end
        || plain_digits(rtrim(parts['digits']), decimal_mark, thousands_mark)
end;

-- Times

create or replace temp macro to_utc(local_time, zone) as
    case when zone = 'UTC' then local_time else timezone('UTC', timezone(zone, local_time)) end;

-- ISO 8601 on local clocks, with a year of four digits. A text that ends in a letter states an offset (Z, UTC), or is a word that DuckDB reads as a
-- time (`infinity`); and DuckDB reads 2025/03/04, which is not ISO 8601.
create or replace temp macro iso_local(text) as
    case when substr(text, 5, 1) = '-' and not regexp_matches(text, '[A-Za-z)]$|/') then try_cast(text as timestamp) end;

create or replace temp macro has_offset(text) as regexp_matches(text,
    '^[^/]*\d:\d\d(:\d\d(\.\d+)?)?\s*([Zz]|UTC|GMT|[+-]\d\d(:?\d\d)?)$');

create or replace temp macro iso_utc(text) as timezone('UTC', coalesce(try_cast(text as timestamptz), try_cast(
    regexp_replace(regexp_replace(text, '\s*([Zz]|UTC|GMT)$', '+00'), '\s+([+-]\d\d(:?\d\d)?)$', '\1') as timestamptz)));

-- A time without its weekday, the name of its zone in brackets, commas and the like; the Unix way
-- (Mar 4 10:11:12 UTC 2025) with the year after the day.
create or replace temp macro plain_time(text) as rtrim(regexp_replace(
    regexp_replace(
        regexp_replace(
            regexp_replace(text, '(?i)^(mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? +', ''),
            '([+-]\d\d:?\d\d|UTC|GMT|Z) \([^()]*\)$', '\1'),
        '(?i)(,| at | uhr|[ \x{a0}\x{202f}])+', ' ', 'g'),
    '(?i)^([a-z]{3} \d{1,2}) (\d\d:\d\d:\d\d)(?: (utc|gmt))? (\d{4})$', '\1 \4 \2 \3'));

create or replace temp macro time_parts(text) as regexp_extract(plain_time(text),
    '(?i)^(' -- day
    || '\d{1,2}[./-]\d{1,2}[./-]\d{4}|\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{8}'
    || '|[a-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)? \d{4}|\d{1,2}(?:st|nd|rd|th|\.)?[ -][a-z]{3,9}\.?[ -]\d{4}'
    || ')(?:(?:t| )(' -- clock
    || '\d{1,2}:\d\d(?::\d\d(?:\.\d{1,6})?)?(?: ?[ap]\.?m\.?)?|\d{6}|\d{4}'
    || '))? ?(' -- zone
    || 'z|utc|gmt|(?:utc|gmt)?[+-]\d\d:?\d\d'
    || '|)$',
    ['day', 'clock', 'zone']);

create or replace temp macro number_of_day(day, place) as
    try_cast(split_part(translate(day, '-', '/'), '/', place) as integer);

-- Dates with dots have the day first; with slashes or dashes they are read where one of the two numbers is no month, or
-- both are the same. Eight digits are a date only before a clock or a zone.
create or replace temp macro day_of(day, is_with_time) as case
    when regexp_matches(day, '^\d{8}$') then case when is_with_time then try_strptime(day, '%Y%m%d') end
    when regexp_matches(day, '^\d{4}') then try_strptime(translate(day, '/.', '--'), '%Y-%m-%d')
    when regexp_matches(day, '^\d+\.') then try_strptime(day, ['%d.%m.%Y', '%d. %b %Y', '%d. %B %Y'])
    when regexp_matches(day, '^\d+[/-]\d') then case
        when number_of_day(day, 1) > 12 or number_of_day(day, 1) = number_of_day(day, 2)
        then try_strptime(translate(day, '-', '/'), '%d/%m/%Y')
        when number_of_day(day, 2) > 12 then try_strptime(translate(day, '-', '/'), '%m/%d/%Y')
    end
    else try_strptime(
        regexp_replace(translate(day, '-.', ' '), '(\d)(st|nd|rd|th)', '\1'),
        ['%b %d %Y', '%B %d %Y', '%d %b %Y', '%d %B %Y'])
end;

create or replace temp macro clock_of(clock) as case
    when clock = '' then time '00:00:00'
    when regexp_matches(clock, '[Mm]') then cast(try_strptime(
        regexp_replace(clock, '(?i) ?([ap])\.?m\.?$', ' \1M'), ['%I:%M:%S %p', '%I:%M %p', '%I:%M:%S.%f %p']) as time)
    else try_cast(rtrim(regexp_replace(clock, '^(\d\d)(\d\d)(\d\d)?$', '\1:\2:\3'), ':') as time)
end;

create or replace temp macro offset_of(zone) as to_minutes(
    try_cast(regexp_extract(zone, '[+-]\d\d') as integer) * 60
    + try_cast(regexp_replace(zone, '^.*([+-])\d\d:?(\d\d)$', '\1\2') as integer));

create or replace temp macro local_time_of(parts) as
    cast(day_of(parts['day'], parts['clock'] <> '' or parts['zone'] <> '') as date) + clock_of(parts['clock']);

-- The local time of a spreadsheet's serial number: days since 1899-12-30. Between 20000 and 80000 (1954 to 2119) it can
-- be nothing else: no other form of a date has five digits, and as seconds since 1970 it would lie in the first day of
-- that year. Up to four decimals are precise to some seconds, so that the whole minute is meant.
create or replace temp macro is_serial(text) as regexp_matches(text, '^([2-7]\d{4}|80000)([.,]\d+)?$');

create or replace temp macro serial_time(text) as timestamp '1899-12-30' + case
    when regexp_matches(text, '[.,]\d{5}')
    then to_seconds(cast(round(cast(replace(text, ',', '.') as double) * 86400) as bigint))
    else to_minutes(cast(round(cast(replace(text, ',', '.') as double) * 1440) as bigint))
end;

-- The time of seconds, milliseconds or microseconds since 1970.
create or replace temp macro epoch_time(text) as case length(text)
    when 10 then make_timestamp(cast(text as bigint) * 1000000)
    when 13 then make_timestamp(cast(text as bigint) * 1000)
    when 16 then make_timestamp(cast(text as bigint))
end;

-- A time from its parts, a serial number or the time since 1970, as UTC. What has no time of day is a date in `day_zone`.
create or replace temp macro time_of(text, parts, zone, day_zone) as case
    when regexp_matches(text, '^(\d{10}|\d{13}|\d{16})$') then epoch_time(text)
    when is_serial(text)
    then to_utc(serial_time(text), case when regexp_matches(text, '^\d+([.,]0+)?$') then day_zone else zone end)
    when parts['day'] = '' then null
    when parts['zone'] = '' and parts['clock'] = '' then to_utc(local_time_of(parts), day_zone)
    when parts['zone'] = '' then to_utc(local_time_of(parts), zone)
    when upper(parts['zone']) in ('Z', 'UTC', 'GMT') then local_time_of(parts)
    else local_time_of(parts) - offset_of(parts['zone'])
end;

-- The date that such a text states, whatever its time of day and its zone.
create or replace temp macro date_of(text, parts) as case
    when regexp_matches(text, '^(\d{10}|\d{13}|\d{16})$') then date_trunc('day', epoch_time(text))
    when is_serial(text) then date_trunc('day', serial_time(text))
    when parts['day'] <> '' then cast(cast(day_of(parts['day'], true) as date) as timestamp)
end;

-- The date that a moment stands for: midnight in UTC is that of UTC, any other that of the source's zone.
create or replace temp macro day_stated(moment, zone) as date_trunc('day', case
    when timezone('UTC', moment) = date_trunc('day', timezone('UTC', moment)) then timezone('UTC', moment)
    else timezone(zone, moment)
end);

create or replace temp macro plausible(moment) as case when moment >= timestamp '1900-01-02' then moment end;

create or replace temp macro agreed(one, other) as case when one <> other then null else coalesce(one, other) end;

-- UTC+2 and -05:00 as zones of IANA, whose signs are the other way round.
create or replace temp macro zone_of_offset(name) as case
    when regexp_matches(upper(trim(name)), '^(UTC|GMT)?[+-]0?\d{1,2}(:?00)?$')
    then 'Etc/GMT' || translate(regexp_extract(name, '[+-]'), '+-', '-+')
        || cast(cast(regexp_extract(name, '[+-]0?(\d{1,2}?)(?::?00)?$', 1) as integer) as varchar)
end;

-- Whether day and month, of a year of two digits the year too, may be either way round.
create or replace temp macro is_ambiguous(text, parts) as (
    regexp_matches(text, '^\d{1,2}[/-]\d{1,2}[/-]\d\d(\D|$)')
    or regexp_matches(parts['day'], '^\d+[/-]\d+[/-]\d{4}$')
    and number_of_day(parts['day'], 1) between 1 and 12 and number_of_day(parts['day'], 2) between 1 and 12
    and number_of_day(parts['day'], 1) <> number_of_day(parts['day'], 2));

-- Whether a time that `time_of` reads states no zone.
create or replace temp macro lacks_zone(text, parts) as (parts['zone'] = '' and not regexp_matches(text, '^\d+$'));

-- Values as rule hits show them: 2025-03-04T10:11:12Z, 3, 12.50

create or replace temp macro shown_time(value) as case
    when date_trunc('second', value) = value then strftime(value, '%Y-%m-%dT%H:%M:%SZ')
    else strftime(value, '%Y-%m-%dT%H:%M:%S.%fZ')
end;

create or replace temp macro shown_quantity(value) as regexp_replace(cast(value as varchar), '\.?0+$', '');

create or replace temp macro shown_amount(value) as
    regexp_replace(cast(value as varchar), '^(-?\d+\.\d\d\d*?)0+$', '\1');
