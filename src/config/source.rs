//! Where a configuration comes from: a file, the environment, the command line; the later beats the earlier.

use super::env;
use super::model::Config;
use super::problem::Problems;
use super::url::parse_node_url;
use super::value::{Entry, Origin, Tree, Value};
use super::{check, file};

/// Everything that a configuration is made of. Nothing is read before [`Sources::load`].
#[derive(Clone, Debug, Default)]
pub struct Sources {
    text: String,
    variables: Vec<(String, String)>,
    flags: Vec<(Vec<String>, Entry)>,
    /// Who may use the admin database where nothing else says so.
    operator: Option<String>,
}

impl Sources {
    /// Nothing: all defaults, which lack a database.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the content of a file, in TOML.
    pub fn file(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// With environment variables. Those that are not ours are ignored.
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables
            .extend(variables.into_iter().filter(|(name, _)| name.starts_with(env::PREFIX)));
        self
    }

    /// With `--listen`: addresses to listen at; none says nothing.
    pub fn listen(self, addresses: &[String]) -> Self {
        if addresses.is_empty() {
            return self;
        }
        self.flag("--listen", &["listen", "address"], list(addresses, "--listen"))
    }

    /// With `--insecure`: users without a password may log in from anywhere.
    pub fn insecure(self) -> Self {
        self.flag("--insecure", &["listen", "trust"], Value::Text("anywhere".to_owned()))
    }

    /// With `--primary` and any number of `--replica`: one database of the name that the primary's URL ends with
    /// (else its user's name, else `postgres`). Unless users or `admin.admin_users` are configured the URL's user may
    /// also use the admin database.
    pub fn nodes(self, primary: &str, replicas: &[String]) -> Self {
        let node = parse_node_url(primary, "").ok();
        let user = node.as_ref().and_then(|node| node.user.clone());
        let name = node.map(|node| node.dbname).filter(|name| !name.is_empty());
        let name = name.or_else(|| user.clone()).unwrap_or_else(|| "postgres".to_owned());
        let url = Value::Text(primary.to_owned());
        let with_primary = self.flag("--primary", &["databases", &name, "primary"], url);
        let urls = list(replicas, "--replica");
        let with_nodes = with_primary.flag("--replica", &["databases", &name, "replicas"], urls);
        Self { operator: user, ..with_nodes }
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    ///
    /// All problems at once; only a file that is not TOML hides those of its content.
    pub fn load(&self) -> Result<Config, Problems> {
        self.load_and(|_, _| {})
    }

    /// Reads and checks everything, and lets `inspect` add what it finds before the verdict. It sees the defaults
    /// where something is wrong.
    ///
    /// # Errors
    ///
    /// As [`Sources::load`].
    pub fn load_and(
        &self,
        inspect: impl FnOnce(&Config, &mut Problems),
    ) -> Result<Config, Problems> {
        let mut syntax = Problems::default();
        let mut tree = file::parse(&self.text, &mut syntax);
        syntax.none_or(())?;
        let mut problems = Problems::default();
        let variables = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        env::overlay(&mut tree, variables, &mut problems);
        self.overlay_flags(&mut tree, &mut problems);
        self.appoint(&mut tree);
        let config = check::check(&tree, &mut problems);
        inspect(&config, &mut problems);
        problems.none_or(config)
    }

    fn overlay_flags(&self, tree: &mut Tree, problems: &mut Problems) {
        for (path, entry) in &self.flags {
            if let Err(fault) = env::insert(tree, path, entry.clone()) {
                problems.add(path.join("."), fault, entry.origin.clone());
            }
        }
    }

    /// Makes the user of `--primary` an operator, if there are no other users and nobody has named operators.
    fn appoint(&self, tree: &mut Tree) {
        let is_decided = !check::declared(tree, "users").is_empty()
            || check::declared(tree, "admin").contains(&"admin_users");
        if let Some(user) = self.operator.as_ref().filter(|_| !is_decided) {
            let path = ["admin", "admin_users"].map(str::to_owned);
            let value = list(std::slice::from_ref(user), "--primary");
            // An `admin` that is no table is told when the tree is checked.
            let _ = env::insert(tree, &path, Entry { value, origin: Origin::Flag("--primary") });
        }
    }

    fn flag(mut self, name: &'static str, path: &[&str], value: Value) -> Self {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.flags.push((path, Entry { value, origin: Origin::Flag(name) }));
        self
    }
}

fn list(texts: &[String], flag: &'static str) -> Value {
    let entry =
        |text: &String| Entry { value: Value::Text(text.clone()), origin: Origin::Flag(flag) };
    Value::List(texts.iter().map(entry).collect())
}
