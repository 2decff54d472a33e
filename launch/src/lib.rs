//! Messages between launch and the agent, and the parts of launch that tests need.
