//! Placeholder: see the package description.
