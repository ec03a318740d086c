-- One row per line that does not fit its header, of the table _malformed: no values, the text as the raw row.
select
    md5(_text) as _row_hash,
    cast(to_json([{'column': cast(null as varchar), 'rule': 'malformed_line', 'value': _text}]) as varchar) as _issues,
    cast(to_json({'line': _text}) as varchar) as _raw,
    'malformed_line' as _reject_rule,
    _error as _reject_reason,
    _file as _source_file,
    cast(_line as bigint) as _source_row,
    [{'field': '', 'rule': 'malformed_line', 'outcome': 'rejected', 'before': _text, 'after': cast(null as varchar)}] as _findings
from _malformed
