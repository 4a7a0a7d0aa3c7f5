export default "{}";
