//! The loop: completions to events, effects to submissions.
