//! Judges Jinja templates by their syntax tree.
//!
//! A chat template needs loops, conditions, string filters and a handful of functions. What leads from a
//! value to the interpreter (`x.__class__.__mro__`, `cycler.__init__.__globals__`, `|attr('__' ~ 'init__')`)
//! goes through an attribute whose name begins with an underscore, through a filter that takes such a name,
//! or through a name that only a hostile template asks for.

mod fold;
mod pieces;

use self::fold::{fold, inner_number, learn};
use self::pieces::{pieces, split_tag};
use crate::syntax::jinja_expression;
use crate::syntax::tree::{Argument, Expr, ExprId, Program};

/// Templates of published models stay below 60 kB.
pub(crate) const TEMPLATE_BYTES_MAX: usize = 2 << 20;
const TOKENS_MAX: usize = 400_000;
/// Loops over literal ranges longer than this keep a server busy.
const RANGE_MAX: i64 = 100_000;

/// What a template would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Reaches for the interpreter, by this way.
    Escape(String),
    /// Calls or reads what no chat template needs.
    Unusual(String),
    /// Keeps its reader busy.
    Endless(String),
    /// Could not be read as Jinja.
    Unread(String),
}

/// Names that the readers of chat templates provide, and Jinja's own.
const KNOWN_CALLS: &[&str] = &[
    "raise_exception",
    "strftime_now",
    "range",
    "namespace",
    "dict",
    "lipsum",
    "cycler",
    "joiner",
    "caller",
    "super",
    "loop",
    "tojson",
    "fromjson",
    "len",
    "list",
    "str",
    "int",
    "enumerate",
    "zip",
    "min",
    "max",
    "_",
    "gettext",
    "ngettext",
    "bool",
    "debug",
    "varargs",
    "kwargs",
    "self",
];

/// Attributes and methods of Python objects that lead away from data.
const HOSTILE_NAMES: &[&str] = &[
    "mro",
    "im_func",
    "im_class",
    "func_globals",
    "func_code",
    "gi_frame",
    "gi_code",
    "cr_frame",
    "cr_code",
    "ag_frame",
    "ag_code",
    "f_globals",
    "f_builtins",
    "f_locals",
    "f_back",
    "tb_frame",
    "popen",
    "system",
    "subprocess",
    "importlib",
    "builtins",
    "load_module",
    "import_module",
    "os",
    "sys",
    "modules",
    "eval",
    "exec",
    "compile",
    "open",
    "read_text",
    "write_text",
    "format_map",
    "environ",
    "getenv",
    "check_output",
    "Popen",
    "spawn",
    "globals",
    "locals",
    "co_code",
    "config_class",
    "from_string",
];

/// Globals that only an attacker asks for.
const HOSTILE_GLOBALS: &[&str] = &[
    "os",
    "sys",
    "subprocess",
    "builtins",
    "importlib",
    "request",
    "config",
    "url_for",
    "get_flashed_messages",
    "application",
    "self",
    "g",
    "session",
    "current_app",
    "app",
    "open",
    "eval",
    "exec",
    "import_module",
    "getattr",
    "setattr",
    "globals",
    "vars",
];

/// Judges a template; deeds come with their 1-based line.
#[must_use]
pub(crate) fn judge(source: &str) -> Vec<(u32, Deed)> {
    let mut out = Vec::new();
    let mut defined: Vec<String> = Vec::new();
    let mut constants: Vec<(String, String)> = Vec::new();
    let (pieces, whole) = pieces(source);
    if !whole {
        out.push((1, Deed::Unread("a tag that does not end".to_owned())));
    }
    for piece in &pieces {
        let body = piece.body.trim();
        let (code, tag) = if piece.is_output { (body, "") } else { split_tag(body) };
        match tag {
            "" | "if" | "elif" | "else" | "endif" | "endfor" | "endset" | "endmacro" | "endfilter" | "endcall"
            | "endwith" | "with" | "filter" | "call" | "do" | "set" | "for" | "macro" | "generation"
            | "endgeneration" | "break" | "continue" | "block" | "endblock" | "autoescape" | "endautoescape"
            | "raw" | "endraw" | "trans" | "endtrans" | "pluralize" => {}
            "include" | "import" | "from" | "extends" => {
                out.push((piece.line, Deed::Unusual(format!("`{tag}` reads another file"))));
            }
            other => out
                .push((piece.line, Deed::Unread(format!("the unknown tag `{}`", crate::read::text::shown(other, 40))))),
        }
        if code.is_empty() {
            continue;
        }
        let (program, id) = parse(tag, code);
        if tag == "set" {
            learn(&program, id, &mut constants);
        }
        names_defined(tag, code, &mut defined);
        let mut judge =
            Judge { program: &program, constants: &constants, defined: &defined, line: piece.line, out: &mut out };
        judge.all();
        if program.cut {
            out.push((piece.line, Deed::Unread("an expression too long or too deep".to_owned())));
        } else if program.errors > 0 {
            out.push((piece.line, Deed::Unread(format!("`{}`", crate::read::text::shown(code, 80)))));
        }
    }
    out
}

fn parse(tag: &str, code: &str) -> (Program, ExprId) {
    // `for x in y if z recursive`, `set a = b`, `macro f(a=1)`, `call(x) f()`, `filter f` as expressions.
    let shaped = match tag {
        "for" => {
            let rest = code.trim_end().trim_end_matches("recursive");
            format!("[0 for {rest}]")
        }
        "set" | "with" => match code.split_once('=') {
            // `ns.found = x` and `a, b = x` are no named arguments.
            Some((target, value)) if target.contains(['.', ',', '[']) && !value.starts_with('=') && tag == "set" => {
                format!("f({value}, ({target}))")
            }
            Some(_) => format!("f({code})"),
            None => code.to_owned(),
        },
        "filter" => format!("x|{code}"),
        "call" => {
            code.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(code, |(_, call)| call).to_owned()
        }
        "autoescape" | "block" | "trans" | "pluralize" | "else" | "raw" => String::from("x"),
        _ => code.to_owned(),
    };
    jinja_expression(&shaped, TOKENS_MAX)
}

/// Names that a tag binds: calling them is no surprise.
fn names_defined(tag: &str, code: &str, defined: &mut Vec<String>) {
    if defined.len() > 2000 {
        return;
    }
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    match tag {
        "macro" => defined.extend(words(code)),
        "set" | "with" => defined.extend(words(code.split('=').next().unwrap_or(""))),
        "for" => defined.extend(words(code.split(" in ").next().unwrap_or(""))),
        _ => {}
    }
}

struct Judge<'a> {
    program: &'a Program,
    constants: &'a [(String, String)],
    defined: &'a [String],
    line: u32,
    out: &'a mut Vec<(u32, Deed)>,
}

impl Judge<'_> {
    /// Every node of the arena: no way around, no recursion.
    fn all(&mut self) {
        for id in 0..u32::try_from(self.program.exprs.len()).unwrap_or(u32::MAX) {
            if self.out.len() > 200 {
                return;
            }
            self.one(id);
        }
    }

    fn escape(&mut self, what: String) {
        self.out.push((self.line, Deed::Escape(what)));
    }

    fn unusual(&mut self, what: String) {
        self.out.push((self.line, Deed::Unusual(what)));
    }

    fn one(&mut self, id: ExprId) {
        match self.program.expr(id) {
            Expr::Attribute { name, .. } => self.member(name),
            Expr::Index { index, .. } => {
                if let Some(name) = fold(self.program, *index, self.constants, 0) {
                    if name.starts_with("__") || is_hostile_name(&name) && name.len() > 3 && !is_data_key(&name) {
                        self.escape(format!("item `{name}`"));
                    }
                } else if matches!(self.program.expr(*index), Expr::Binary { op: "~", .. }) {
                    self.unusual("an item whose name is put together".to_owned());
                }
            }
            Expr::Filter { name, arguments, .. } => self.filter(name, arguments),
            Expr::Call { of, arguments } => self.call(*of, arguments),
            Expr::Name(name) if name.starts_with("__") => self.escape(format!("name `{name}`")),
            Expr::Text(text) => {
                // A dunder in a literal is on its way to `|attr` or an index.
                let dunder = [
                    "__class__",
                    "__mro__",
                    "__globals__",
                    "__subclasses__",
                    "__builtins__",
                    "__import__",
                    "__init__",
                    "__base__",
                    "__getitem__",
                ];
                if dunder.iter().any(|name| text.contains(name)) {
                    self.escape(format!("the text `{}`", crate::read::text::shown(text, 60)));
                }
            }
            _ => {}
        }
    }

    fn member(&mut self, name: &str) {
        if name.starts_with('_') || is_hostile_name(name) && !is_data_key(name) {
            self.escape(format!("attribute `{name}`"));
        }
    }

    fn filter(&mut self, name: &str, arguments: &[Argument]) {
        if name == "attr" {
            let argument = arguments.first().map(|argument| argument.value);
            match argument.and_then(|id| fold(self.program, id, self.constants, 0)) {
                Some(name) => self.member(&name),
                None => self.escape("`|attr` of a name that is put together".to_owned()),
            }
        } else if name == "map" || name == "selectattr" || name == "rejectattr" || name == "groupby" || name == "sort" {
            for argument in arguments {
                if let Some(text) = fold(self.program, argument.value, self.constants, 0)
                    && text.split('.').any(|part| part.starts_with("__"))
                {
                    self.escape(format!("`|{name}` over `{text}`"));
                }
            }
        } else if matches!(name, "pprint" | "xmlattr" | "filesizeformat" | "random") {
            self.unusual(format!("the filter `{name}`"));
        }
    }

    fn call(&mut self, of: ExprId, arguments: &[Argument]) {
        match self.program.expr(of) {
            Expr::Name(name) => {
                if name == "range" {
                    let end = arguments.iter().filter_map(|argument| inner_number(self.program, argument.value)).max();
                    if end.is_some_and(|end| end > RANGE_MAX) {
                        self.out.push((self.line, Deed::Endless(format!("a loop of {} rounds", end.unwrap_or(0)))));
                    }
                    return;
                }
                if name == "lipsum" && !arguments.is_empty() {
                    self.out.push((self.line, Deed::Endless("text without end".to_owned())));
                }
                let known = KNOWN_CALLS.contains(&name.as_str()) || self.defined.contains(name) || name == "f";
                if HOSTILE_GLOBALS.contains(&name.as_str()) && !self.defined.contains(name) && name != "self" {
                    self.escape(format!("a call of `{name}`"));
                } else if !known {
                    self.unusual(format!("a call of `{}`", crate::read::text::shown(name, 60)));
                }
            }
            Expr::Call { .. } => self.unusual("a call of what another call gave".to_owned()),
            _ => {}
        }
        for argument in arguments {
            if argument.stars > 0 {
                self.unusual("a call with unpacked arguments".to_owned());
            }
        }
    }
}

fn is_hostile_name(name: &str) -> bool {
    HOSTILE_NAMES.contains(&name)
}

/// Words that messages and tool schemas use as keys, although objects have them too.
fn is_data_key(name: &str) -> bool {
    matches!(name, "open" | "modules" | "system" | "os" | "config_class" | "format_map" | "compile" | "sys")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escapes(source: &str) -> bool {
        judge(source).iter().any(|(_, deed)| matches!(deed, Deed::Escape(_)))
    }

    #[test]
    fn ways_to_the_interpreter_are_seen() {
        for source in [
            "{{ ''.__class__.__mro__[1].__subclasses__() }}",
            "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
            "{% set x = ''['__cla' ~ 'ss__'] %}",
            "{{ ''|attr('__class__') }}",
            "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
            "{{ x|attr(['__','class','__']|join) }}",
            "{% set a = '__' %}{% set b = a ~ 'globals' ~ a %}{{ lipsum|attr(b) }}",
            "{{ lipsum['__glo' + 'bals__'] }}",
            "{% for c in [].__class__.__base__.__subclasses__() %}{% if c.__name__ == 'x' %}{{ c()._module.__builtins__['__import__']('os').system('id') }}{% endif %}{% endfor %}",
            "{{ self._TemplateReference__context.cycler.__init__ }}",
            "{{ messages|map(attribute='__class__')|list }}",
            "{{ x|attr(request.args.a) }}",
            "{{ ('ssalc__'[::-1] ~ '__') and x['__ssalc__'[::-1]] }}",
            "{{ x.f_globals }}{{ joiner.gi_frame }}",
            "{%- if ''.__class__ -%}{%- endif -%}",
            "{% macro f(a=''.__class__) %}{% endmacro %}",
            "{% call(x) ''.__class__() %}{% endcall %}",
            "{{ namespace.__init__ }}",
            "{{ '%s%s'|format('__cla', 'ss__') and x['%s%s' % ('__cla', 'ss__')] }}",
            "{{ open('/etc/passwd').read() }}",
        ] {
            assert!(escapes(source), "{source}: {:?}", judge(source));
        }
        assert!(
            judge("{% for x in range(1000000000) %}a{% endfor %}")
                .iter()
                .any(|(_, deed)| matches!(deed, Deed::Endless(_)))
        );
        assert!(judge("{% include '/etc/passwd' %}").iter().any(|(_, deed)| matches!(deed, Deed::Unusual(_))));
    }

    #[test]
    fn chat_templates_pass() {
        for source in [
            "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
            "{{- bos_token }}{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}{%- else %}{%- set system_message = '' %}{%- endif %}",
            "{%- macro render(x, y=none) -%}{%- for k, v in x.items() if k is not none and v is mapping %}{{ k ~ ': ' ~ v | tojson(indent=4) }}{%- endfor %}{%- endmacro -%}{{ render(tools) }}",
            "{%- set ns = namespace(found=false, is_first=true) %}{%- for message in loop_messages %}{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{%- endif %}{%- set ns.found = true %}{%- endfor %}{{ strftime_now('%d %b %Y') }}",
            "{% generation %}{{ message.content.split('</think>')[-1].lstrip('\\n') }}{% endgeneration %}",
            "{%- if tools is defined and tools is iterable and (tools | length > 0) %}{{ tools | map(attribute='function') | list | tojson }}{%- endif %}",
            "{#- comment {{ x.__class__ }} -#}{% raw %}{{ x.__class__ }}{% endraw %}",
            "{% for m in messages %}{% if m.role == 'system' %}{{ m.system }}{% elif m['tool_calls'] %}{{ {'a': {'b': 1}} }}{% endif %}{% endfor %}",
            "{{ message['content'] if message['content'] is string else message['content'][0]['text'] }}{% if not x is none and loop.last or false %}{% endif %}",
            "{%- for tool in tools recursive %}{{ loop(tool.children) }}{%- endfor %}{% set x %}abc{% endset %}{% filter upper %}a{% endfilter %}",
        ] {
            assert_eq!(judge(source), Vec::new(), "{source}");
        }
    }

    #[test]
    fn nonsense_ends() {
        for source in ["{{", "{%", "{#", "{{ '", "{% set", "{% for %}", "{{ }}", "{%%}", "{{{{{{", "é{{é}}"] {
            let _ = judge(source);
        }
        let _ = judge(&"{{ (".repeat(10_000));
        let _ = judge(&format!("{{{{ {} }}}}", "a ~ ".repeat(10_000)));
    }
}
