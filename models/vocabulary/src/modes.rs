//! Modes of the reference service: enums whose values have one name, on the command line and in
//! topology files.

/// Reads and shows a mode by its name; `what` is the word for it in messages.
macro_rules! read_and_shown_by_name {
    ($type:ty, $what:literal) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let names = Self::ALL.map(Self::name).join(", ");
                let found = Self::ALL.into_iter().find(|mode| mode.name() == text);
                let unknown = || format!("unknown {} {text:?}; it is one of {names}", $what);
                found.ok_or_else(unknown)
            }
        }
    };
}
pub(crate) use read_and_shown_by_name;
