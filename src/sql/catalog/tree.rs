//! What a stored expression or query refers to, read from its node tree.
//!
//! `pg_depend` does not say: it leaves out PostgreSQL's own functions. The trees (`nodeToString`, in
//! `src/backend/nodes/outfuncs.c`) name every function, operator and relation by its oid.

use super::graph::Ref;
use crate::sql::verdict::Why;

/// `current_setting(text)` and `current_setting(text, boolean)`.
const CURRENT_SETTING: [u32; 2] = [2077, 3294];

/// What a tree refers to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) refs: Vec<Ref>,
    /// Set if it is more than a query.
    pub(super) why: Option<Why>,
}

/// Reads the text of a `pg_node_tree`.
pub(super) fn read(text: &str) -> Tree {
    let mut tree = Tree::default();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(" :") {
        rest = after;
        let Some((field, value)) = rest.split_once(' ') else { break };
        match field {
            "funcid" | "opfuncid" | "aggfnoid" | "winfnoid" => {
                let oid = number(value);
                if !(CURRENT_SETTING.contains(&oid) && is_own_setting(value)) {
                    tree.refer(oid, Ref::Function);
                }
            }
            "opno" | "eqop" | "sortop" => tree.refer(number(value), Ref::Operator),
            "opnos" => {
                let list = value.split_once(')').map_or("", |(list, _)| list);
                list.split(' ').for_each(|one| tree.refer(number(one), Ref::Operator));
            }
            "relid" => tree.refer(number(value), Ref::Relation),
            "resulttype" => tree.refer(number(value), Ref::Type),
            // 1 is CMD_SELECT.
            "commandType" if number(value) != 1 => tree.why = Some(Why::VolatileFunction),
            "hasForUpdate" if value.starts_with("true") => tree.why = Some(Why::VolatileFunction),
            _ => {}
        }
    }
    tree.refs.sort_unstable();
    tree.refs.dedup();
    tree
}

impl Tree {
    fn refer(&mut self, oid: u32, to: impl FnOnce(u32) -> Ref) {
        if oid != 0 {
            self.refs.push(to(oid));
        }
    }
}

/// The number that `text` begins with; 0 if there is none.
fn number(text: &str) -> u32 {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().parse().unwrap_or(0)
}

/// Whether the first argument of this call is the name of a parameter with a dot: one that sessions make up, so that
/// it is the same on all nodes.
fn is_own_setting(call: &str) -> bool {
    let name = || {
        let (_, arguments) = call.split_once(":args (")?;
        let constant = arguments.strip_prefix("{CONST ")?;
        let (_, value) = constant.split_once(":constvalue ")?;
        let (_, bytes) = value.split_once("[ ")?;
        let (bytes, _) = bytes.split_once(']')?;
        // A varlena: four bytes of length first.
        Some(bytes.split_whitespace().skip(4).any(|byte| byte == "46"))
    };
    name().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_and_escaped_names_are_not() {
        let text = "({QUERY :commandType 1 :hasForUpdate false :rtable ({RANGETBLENTRY :alias {ALIAS :aliasname \
                    a\\ :funcid\\ 9} :relid 16400}) :x {OPEXPR :opno 96 :opfuncid 65 :args ({FUNCEXPR :funcid \
                    16500 :args <>})} {ROWCOMPAREEXPR :opnos (o 97 521)} {COERCETODOMAIN :resulttype 16600}})";
        let expected = [
            Ref::Function(65),
            Ref::Function(16500),
            Ref::Relation(16400),
            Ref::Operator(96),
            Ref::Operator(97),
            Ref::Operator(521),
            Ref::Type(16600),
        ];
        let tree = read(text);
        assert_eq!((tree.refs.len(), tree.why), (expected.len(), None));
        assert!(expected.iter().all(|wanted| tree.refs.contains(wanted)), "{tree:?}");
    }

    #[test]
    fn a_setting_with_a_dot_belongs_to_the_session() {
        let call = |bytes: &str| {
            format!(
                "{{FUNCEXPR :funcid 2077 :args ({{CONST :consttype 25 :constvalue 9 [ {bytes} ]}})}}"
            )
        };
        assert_eq!(read(&call("36 0 0 0 97 46 98")).refs, []);
        assert_eq!(read(&call("46 0 0 0 97 98 99")).refs, [Ref::Function(2077)]);
        let computed =
            "{FUNCEXPR :funcid 2077 :args ({VAR :varno 1} {CONST :constvalue 9 [ 36 0 0 0 46 ]})}";
        assert_eq!(read(computed).refs, [Ref::Function(2077)]);
    }

    #[test]
    fn what_is_no_plain_query_is_found() {
        assert_eq!(read("{QUERY :commandType 3 ").why, Some(Why::VolatileFunction));
        assert_eq!(
            read("{QUERY :commandType 1 :hasForUpdate true :x").why,
            Some(Why::VolatileFunction)
        );
    }
}
