// The second entry of every plugin: what the host calls beside the actions.
export { riposte_warm } from "./host";
