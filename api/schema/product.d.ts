// Build products are imported by path; they need not exist for types to check.
declare module "*.data" {
  const path: string;
  export default path;
}
