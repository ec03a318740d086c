-- One row per place in a file at which lines of the table _malformed are left out: how many rows come before it, and by how
-- many lines those after it are shifted.
select _file, before, max(shift) as shift
from (
    select
        _file,
        _line - row_number() over (partition by _file order by _line) as before,
        row_number() over (partition by _file order by _line) as shift
    from _malformed
)
group by _file, before
